// Starts `ocelli serve` with the embedded model on a port of its own, as people do, or a server whose engine fails. Used by
// the suites of this folder.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const root = join(import.meta.dirname, '../..');

/** { url, out, said, stop(signal) }; stop resolves to the exit status. Rejects with what was said when it does not start. */
export const startServer = (words = [], env = {}) =>
  start([join(root, 'build/js/cli/main.js'), 'serve', '--port', '0', ...words], env);

/** Keys of startKeyed(): one that is let in, one that is let in once a minute, one that nobody knows. */
export const keys = { good: 'sk-good', limited: 'sk-limited', unknown: 'sk-unknown' };

/** A server with `keys`, which takes `endless` of questions.mjs. */
export function startKeyed(words = []) {
  const file = join(mkdtempSync(join(tmpdir(), 'ocelli-')), 'keys.json');
  const entry = (name) => ({ name, sha256: createHash('sha256').update(keys[name]).digest('hex') });
  const entries = [entry('good'), { ...entry('limited'), requestsPerMinute: 1 }];
  writeFileSync(file, JSON.stringify(entries));
  return startServer(['--keys', file, '--running', '64', ...words]);
}

/** A server that answers every completion with 500: its weights are damaged. */
export const startFailing = () => start([join(import.meta.dirname, 'failing_server.mjs')], {});

async function start(command, env) {
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

/** The value of a line of /metrics; 0 where there is none. */
async function measured({ url }, pattern) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^vllm:${pattern} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}
/** How many choices have ended so: "abort", "length", "stop". */
const endings = (server, reason) =>
  measured(server, `request_success_total.*finished_reason="${reason}"}`);
/** Whether tokens are in memory, so that something is computed. */
const computes = async (server) => (await measured(server, 'gpu_cache_usage_perc.*')) > 0;

/**
 * That generation stops when a client leaves: `begin` starts an endless answer and gives what has the client leave, which is
 * called when the server computes. Throws unless choices were ended before their end, and none went on to it.
 */
export async function leaves(server, begin) {
  const [aborted, atLimit] = [await endings(server, 'abort'), await endings(server, 'length')];
  const leave = await begin();
  while (!(await computes(server))) {
    if ((await endings(server, 'length')) > atLimit) throw new Error('it was answered too soon');
    await wait(5);
  }
  await leave();
  while (await computes(server)) await wait(20);
  const [ended, longest] = [await endings(server, 'abort'), await endings(server, 'length')];
  if (ended <= aborted || longest > atLimit)
    throw new Error(`${ended - aborted} choices were ended, ${longest - atLimit} went on`);
}
