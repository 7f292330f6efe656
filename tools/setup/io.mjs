// Owns what the set-up says and how it runs commands. Used by every script under tools/.
// Surprise: a SetupError is for the person at the keyboard and is printed without a stack.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository root. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Whether the module of this URL is the script that was started. */
export function isMain(url) {
  return Boolean(process.argv[1]) && fileURLToPath(url) === realpathSync(process.argv[1]);
}

export class SetupError extends Error {}

const terminal = process.stderr.isTTY === true;

export function say(text) {
  process.stderr.write(`${terminal ? '\r\x1b[K' : ''}${text}\n`);
}

/** How often a step that is under way says so: a terminal redraws one line, a log gets a line each time. */
const tickMs = terminal ? 1000 : 60_000;

/** The steps under way; the innermost one draws. */
const under = [];

/** Runs `work`, saying what is done and for how long; work may tell how far it is. */
export async function step(title, work) {
  say(`==> ${title}`);
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  let how = '';
  const tick = () => {
    if (under.at(-1) !== start) return;
    const line = `    ${title}: ${how ? `${how}, ` : ''}${seconds().toFixed(0)} s`;
    const width = (process.stderr.columns || 80) - 1;
    process.stderr.write(terminal ? `\r${line.slice(0, width)}\x1b[K` : `${line} so far\n`);
  };
  under.push(start);
  const timer = setInterval(tick, tickMs);
  try {
    const result = await work((text) => (how = text));
    say(`    ${title}: ${seconds().toFixed(1)} s`);
    return result;
  } finally {
    clearInterval(timer);
    under.splice(under.indexOf(start), 1);
  }
}

/** Ends the process with the message of a SetupError, or with a stack for a bug of ours. */
export function endWith(error) {
  if (error instanceof SetupError) say(`\nset-up stopped: ${error.message}`);
  else say(error.stack ?? String(error));
  process.exit(1);
}

/** stdout of a short command, or null when it is missing or fails. */
export function output(command, args, options = {}) {
  const run = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  return run.status === 0 ? run.stdout : null;
}

/** The full path of a command on PATH, or null. */
export function which(command) {
  for (const folder of (process.env.PATH ?? '').split(':')) {
    if (folder && existsSync(join(folder, command))) return join(folder, command);
  }
  return null;
}

/**
 * Runs a command; rejects with its last lines of output when it fails. `show` lets its output through, `heard` gets it piece
 * by piece.
 */
export function run(command, args, { show = false, heard, ...options } = {}) {
  return new Promise((accept, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
      ...options,
    });
    let tail = '';
    const keep = (bytes) => {
      tail = (tail + bytes).slice(-4000);
      heard?.(String(bytes));
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.on('error', (error) =>
      reject(new SetupError(`${command} cannot be run: ${error.message}`)),
    );
    child.on('close', (code, signal) => {
      if (code === 0) accept();
      else {
        const how = signal ? `was ended by ${signal}` : `ended with status ${code}`;
        reject(
          new SetupError(`${[command, ...args].join(' ')}\n${tail.trim()}\n${command} ${how}`),
        );
      }
    });
  });
}

export function sha256Text(text) {
  return createHash('sha256').update(text).digest('hex');
}

export function sha256File(path) {
  return new Promise((accept, reject) => {
    const hash = createHash('sha256');
    createReadStream(path)
      .on('data', (bytes) => hash.update(bytes))
      .on('error', reject)
      .on('end', () => accept(hash.digest('hex')));
  });
}

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/**
 * A folder that is either whole or absent: `make(temporary, final)` fills the temporary one, which is then renamed.
 * Two clones that make the same one at the same time do no harm: the second rename loses and is dropped.
 */
export async function component(prefix, name, key, title, make) {
  const final = join(prefix, `${name}-${sha256Text(JSON.stringify(key)).slice(0, 12)}`);
  if (existsSync(final)) return final;
  const temporary = `${final}.${process.pid}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  try {
    await step(title, () => make(temporary, final));
    try {
      renameSync(temporary, final);
    } catch (error) {
      if (!existsSync(final)) throw error;
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return final;
}
