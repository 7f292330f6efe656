// Owns the server under load: a real `ocelli serve` with a store in a file, started, killed and started again at the same
// address. Used by load.mjs. Surprise: a request that began before a kill may fail in any way; `life` tells them apart.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../../tools/setup/io.mjs';

/** key -> its limits, beside those that have none */
export const keys = {
  'sk-open': {},
  'gr-open': {},
  SG_open: {},
  'rw-open': {},
  'sk-rate': { requestsPerMinute: 20 },
  SG_rate: { requestsPerMinute: 20 },
  'gr-poor': { credits: 400 },
  SG_poor: { credits: 400 },
};

const sha256 = (text) => createHash('sha256').update(text).digest('hex');

/** { url, life, up, said, logged, alive(), probe(), restart(), stop() }; a file of keys and the store are put into `folder`. */
export async function serverIn(folder, words = []) {
  const file = join(folder, 'keys.json');
  const entries = Object.entries(keys).map(([key, limits]) => ({
    name: key,
    sha256: sha256(key),
    ...limits,
  }));
  writeFileSync(file, JSON.stringify(entries));
  const store = join(folder, 'tasks.sqlite');
  let child;
  let port = 0;
  const server = {
    url: '',
    /** How many processes there have been. */
    life: 0,
    /** Resolves when it can be asked. */
    up: Promise.resolve(),
    said: '',
    /** How the last process ended, or its signal. */
    status: null,
    /** Lines of its log. */
    logged: 0,
    async start() {
      const command = [join(root, 'build/js/cli/main.js'), 'serve', '--port', String(port)];
      const options = [
        '--keys',
        file,
        '--store',
        store,
        '--private-images',
        '--body-mib',
        '1',
        '--waiting',
        '24',
      ];
      const probe = pathToFileURL(join(import.meta.dirname, 'probe.mjs')).href;
      child = spawn(
        process.execPath,
        ['--expose-gc', '--import', probe, ...command, ...options, ...words],
        { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: { ...process.env, OCELLI_CACHE: 'off' } },
      );
      const mine = child;
      const ended = once(child, 'close');
      child.stdout.on(
        'data',
        (bytes) => (server.logged += bytes.toString().split('\n').length - 1),
      );
      server.up = new Promise((accept, reject) => {
        let said = '';
        child.stderr.on('data', (bytes) => {
          said += bytes;
          server.said = (server.said + bytes).slice(-20_000);
          server.url ||= /listening at (\S+)\/v1/.exec(said)?.[1] ?? '';
          if (/^ready: /m.test(said)) accept();
        });
        void ended.then(([code, signal]) => {
          server.status = code ?? signal;
          reject(new Error(`ocelli serve ended with ${code ?? signal}: ${said}`));
        });
      });
      server.up.catch(() => undefined);
      server.alive = () => mine.exitCode === null && mine.signalCode === null;
      server.closed = ended;
      await server.up;
      server.life++;
      port = Number(new URL(server.url).port);
    },
    async probe() {
      child.send('counts');
      return (await once(child, 'message'))[0];
    },
    /** SIGKILL, and a start at the same address; who asks meanwhile waits. */
    async restart() {
      let back = () => undefined;
      server.up = new Promise((resolve) => (back = resolve));
      server.life++;
      child.kill('SIGKILL');
      await server.closed;
      await server.start();
      back();
    },
    /** SIGTERM; the status it ends with. */
    async stop() {
      child.kill('SIGTERM');
      return (await server.closed)[0];
    },
  };
  await server.start();
  return server;
}
