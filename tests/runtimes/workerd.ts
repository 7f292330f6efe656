// Owns workerd for the suites: examples/workerd bundled as its README says, started, asked and ended. Called by
// workerd.test.ts, remote.test.ts and served.test.ts. Surprise: nothing says when it listens, so it is asked until it does.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { expect } from 'vitest';
import { found, program, root, runtime } from './runtime.ts';

/**
 * Bundles worker.js of `example`, with the package's module and examples/workerd's config beside it; resolves to where. `date`: another
 * compatibility date, which says what the platform offers.
 */
export async function bundled(example: string, date?: string): Promise<string> {
  const folder = join(found.project, 'workerd', `${basename(example)}-${date ?? 'now'}`);
  const bundle = join(folder, 'dist');
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, example), folder, { recursive: true });
  const words = ['worker.js', '--bundle', '--format=esm', '--conditions=workerd', '--outdir=dist'];
  const more = ['--loader:.wasm=copy', '--asset-names=[name]', '--log-level=warning'];
  const esbuild = join(root, 'node_modules/.bin/esbuild');
  expect(await program(esbuild, [...words, ...more], { cwd: folder })).toMatchObject({ code: 0 });
  const config = readFileSync(join(root, 'examples/workerd/config.capnp'), 'utf8');
  const dated = /compatibilityDate = "[^"]*"/;
  expect(config).toMatch(dated);
  const text = date === undefined ? config : config.replace(dated, `compatibilityDate = "${date}"`);
  writeFileSync(join(bundle, 'config.capnp'), text);
  return bundle;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts workerd on `bundle`, asks it with `work` and ends it; resolves to what it wrote. */
export async function served(
  bundle: string,
  env: Record<string, string>,
  work: (url: string) => Promise<void>,
): Promise<string> {
  const port = await freePort();
  const words = ['serve', 'config.capnp', '--socket-addr', `http=127.0.0.1:${port}`];
  const child = spawn(runtime('workerd').path, words, {
    cwd: bundle,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (text += bytes));
  const ended = new Promise((resolve) => child.on('close', resolve));
  try {
    const url = `http://127.0.0.1:${port}/`;
    for (let i = 0; ; i++) {
      const there = await fetch(url, { method: 'POST', body: '{}' }).catch(() => null);
      if (there) break;
      if (i > 200 || child.exitCode !== null) throw new Error(`workerd does not listen: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await work(url);
  } finally {
    child.kill();
    await ended;
  }
  return text;
}
