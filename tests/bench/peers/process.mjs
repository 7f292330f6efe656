// Owns running the peers' programs: their output, and lines of JSON among it. Called by the peers.
import { spawn } from 'node:child_process';
import { SetupError } from '../../../tools/setup/io.mjs';

/** { out, err } of a program that has to end well within `minutes`. */
export function outputOf(command, words, { env = process.env, cwd, minutes = 60 } = {}) {
  return new Promise((accept, reject) => {
    const options = { env, cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 * minutes };
    const child = spawn(command, words, options);
    const text = { out: '', err: '' };
    child.stdout.on('data', (bytes) => (text.out += bytes));
    child.stderr.on('data', (bytes) => (text.err += bytes));
    child.on('error', (error) => reject(new SetupError(`${command}: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return accept(text);
      const last = (text.err || text.out).trim().slice(-2000);
      const how = signal ? `was ended by ${signal}` : `ended with status ${code}`;
      return reject(new SetupError(`${command} ${words.join(' ')} ${how}:\n${last}`));
    });
  });
}

/** The lines of a text that are JSON objects. */
export function jsonLines(text) {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.trimEnd().endsWith('}'))
    .map((line) => JSON.parse(line));
}
