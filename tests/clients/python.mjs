// Owns running a Python script of python/: its cells as promises. Used by the suites of Python's clients.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as asked from './questions.mjs';
import { keys } from './server.mjs';

const folder = join(import.meta.dirname, 'python');

/** What `environment` (python/NAME.txt) pins of a package. */
export function versionIn(environment, name) {
  const text = readFileSync(join(folder, `${environment}.txt`), 'utf8');
  return new RegExp(`^${name}==(\\S+)`, 'm').exec(text)[1];
}

/** Python with the packages at `path`; `words` are its arguments, `cwd` where it may leave files. */
export function startPython(path, words, cwd = process.cwd()) {
  return spawn('python3', words, {
    cwd,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      ...process.env,
      ...{ PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: '1' },
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
    },
  });
}

/**
 * Runs a script of python/ that uses cells.py: { cell(name), end() }. cell() resolves when the script has said that it is
 * done, and rejects with its traceback, or when the script ends without a word of it.
 */
export function startCells(path, script, { server, failing }) {
  const child = startPython(path, [join(folder, script)]);
  const questions = { ...asked, picture: null, pictureAnswer: asked.pictureAnswer.source };
  child.stdin.end(
    JSON.stringify({ server: server.url, failing: failing.url, keys, asked: questions }),
  );
  let said = '';
  child.stderr.on('data', (bytes) => (said += bytes));
  const told = new Map();
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    if (!line.startsWith('{"cell"')) return;
    const { cell, error } = JSON.parse(line);
    told.set(cell, error);
    lines.emit('told');
  });
  let status;
  child.on('close', (code) => {
    status = code;
    lines.emit('told');
  });
  return {
    async cell(name) {
      while (!told.has(name) && status === undefined)
        await new Promise((resolve) => lines.once('told', resolve));
      const error = told.has(name) ? told.get(name) : `${script} ended with ${status}: ${said}`;
      if (error !== null) throw new Error(error);
    },
    end: () => child.kill(),
  };
}
