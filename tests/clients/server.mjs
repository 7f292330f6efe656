// Starts `ocelli serve` with the embedded model on a port of its own, as people do. Used by the suites of this folder.
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** { url, records, stop(signal) }; stop resolves to the exit status. Rejects with what was said when it does not start. */
export async function startServer(words = [], env = {}) {
  const command = [join(root, 'build/js/cli/main.js'), 'serve', '--port', '0', ...words];
  const child = spawn(process.execPath, command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
  const server = {
    url: '',
    said: '',
    out: '',
    ended,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return await ended;
    },
  };
  child.stdout.on('data', (bytes) => (server.out += bytes));
  await new Promise((accept, reject) => {
    child.stderr.on('data', (bytes) => {
      server.said += bytes;
      server.url ||= /listening at (\S+)\/v1/.exec(server.said)?.[1] ?? '';
      if (/^ready: /m.test(server.said)) accept();
    });
    void ended.then((code) => reject(new Error(`ocelli serve ended with ${code}: ${server.said}`)));
  });
  return server;
}

/** What a request for one tool looks like, in OpenAI's words; the embedded model calls it. */
export const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the current weather for a location',
    parameters: {
      type: 'object',
      properties: { location: { type: 'string', description: 'The city and state' } },
      required: ['location'],
    },
  },
};
