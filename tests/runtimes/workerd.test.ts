// examples/workerd in workerd: bundled as its README says, the module imported, the weights from a server on loopback.
// Surprise: what is hard in workerd is not one request but the next: whatever a request began ends with it.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { answersOver, eventsOf, weights } from './http.ts';
import {
  type Answers,
  expectSame,
  found,
  program,
  root,
  runtime,
  titled,
  type Told,
} from './runtime.ts';

const folder = join(found.project, 'workerd');
const bundle = join(folder, 'dist');
const question = {
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
  temperature: 0,
};

let model: { origin: string; close(): void };
beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, 'examples/workerd'), folder, { recursive: true });
  const words = ['worker.js', '--bundle', '--format=esm', '--conditions=workerd', '--outdir=dist'];
  const more = ['--loader:.wasm=copy', '--asset-names=[name]', '--log-level=warning'];
  const esbuild = join(root, 'node_modules/.bin/esbuild');
  expect(await program(esbuild, [...words, ...more], { cwd: folder })).toMatchObject({ code: 0 });
  cpSync(join(folder, 'config.capnp'), join(bundle, 'config.capnp'));
  model = await weights();
});
afterAll(() => model.close());

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Starts workerd, asks it with `work` and ends it; resolves to what it wrote. */
async function served(work: (url: string) => Promise<void>): Promise<string> {
  const port = await freePort();
  const words = ['serve', 'config.capnp', '--socket-addr', `http=127.0.0.1:${port}`];
  const child = spawn(runtime('workerd').path, words, {
    cwd: bundle,
    env: { ...process.env, MODEL: model.origin },
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

const ask = (url: string, body: object, signal?: AbortSignal): Promise<Response> =>
  fetch(url, { method: 'POST', body: JSON.stringify(body), ...(signal && { signal }) });
const content = async (url: string, body: object): Promise<unknown> => {
  const { choices } = (await (await ask(url, body)).json()) as {
    choices: { message: { content: string } }[];
  };
  return choices[0]?.message.content;
};

it('is the real one', async () => {
  const { out } = await program(runtime('workerd').path, ['--version']);
  const [, date = 'no date'] = runtime('workerd').version.split('.');
  expect(out.replaceAll('-', '')).toContain(date);
});

it('answers one request after another', async () => {
  let text = '';
  const ask = async (): Promise<Told> => {
    let answers: Answers = {};
    text = await served(async (url) => {
      answers = await answersOver((body) => fetch(url, { method: 'POST', body }));
    });
    return { answers, variant: 'st-relaxed', threads: 1 };
  };
  await expectSame({ runtime: titled('workerd'), how: 'imported module' }, ask);
  expect(text).toBe('');
});

it('answers requests that come together, while the first of them is loading the model', async () => {
  const text = await served(async (url) => {
    const whole = await Promise.all([1, 2, 3, 4].map(() => content(url, question)));
    expect(new Set(whole)).toEqual(new Set([found.expected['text, whole']?.text]));
  });
  expect(text).toBe('');
});

it('goes on after clients have left', async () => {
  await served(async (url) => {
    for (const stream of [true, false]) {
      const leaving = new AbortController();
      const left = ask(
        url,
        { ...question, stream, max_tokens: 500, ignore_eos: true },
        leaving.signal,
      );
      if (stream) await (await left).body?.getReader().read();
      else await new Promise((resolve) => setTimeout(resolve, 100));
      leaving.abort();
      await left.catch(() => undefined);
      expect(await content(url, question)).toBe(found.expected['text, whole']?.text);
    }
    const streamed = await (await ask(url, { ...question, stream: true })).text();
    expect(eventsOf(streamed).length).toBeGreaterThan(5);
  });
});

it('says what is wrong with a request', async () => {
  await served(async (url) => {
    const response = await ask(url, { messages: [] });
    expect([response.status, await response.json()]).toEqual([
      400,
      { error: expect.stringMatching(/messages/) as string },
    ]);
  });
});
