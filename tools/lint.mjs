// Owns the `lint` part of `npm test`: eslint for JavaScript and TypeScript, ruff for the Python of models/ and tests/.
// Called by tools/test.mjs. Surprise: ruff is its WebAssembly build from npm, so no Python needs to be installed.
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root, run, say } from './setup/io.mjs';

// Mistakes, not style: pyflakes, the dangerous part of pycodestyle, bugbear, pylint's errors, needless comprehensions;
// less names for lambdas, the letter l, and zip() without strict=.
const rules = {
  select: ['F', 'E4', 'E7', 'E9', 'B', 'PLE', 'C4'],
  ignore: ['E731', 'E741', 'B905'],
};

/** What ruff finds in the Python files, as lines. */
function pythonFaults() {
  const { Workspace, PositionEncoding } = createRequire(import.meta.url)(
    '@astral-sh/ruff-wasm-nodejs',
  );
  const options = { 'target-version': 'py310', lint: rules };
  const workspace = new Workspace(options, PositionEncoding.Utf32);
  const faultsOf = (text, file) =>
    workspace
      .check(text)
      .map(
        ({ code, message, start_location: at }) =>
          `${file}:${at.row}:${at.column} ${code} ${message}`,
      );
  if (faultsOf('import os\n', '-').length !== 1) return ['ruff does not find an unused import'];
  return ['models', 'tests', 'tools', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.py'))
      .map((name) => join(folder, name))
      .flatMap((file) => faultsOf(readFileSync(join(root, file), 'utf8'), file)),
  );
}

/** Runs every linter and shows what they find; false when that is anything. */
export async function lint() {
  const eslint = ['node_modules/eslint/bin/eslint.js', '--max-warnings=0', '.'];
  const clean = await run(process.execPath, eslint, { cwd: root, show: true }).then(
    () => true,
    () => false,
  );
  const faults = pythonFaults();
  for (const line of faults) say(line);
  return clean && faults.length === 0;
}
