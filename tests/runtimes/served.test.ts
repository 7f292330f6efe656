// The server of ocelli/worker on Node, Deno, Bun and workerd, each on its own platform's server: chat completions to the bit,
// the hosted services' dialects by their own examples, sockets (workerd has none of Runware's).
// Surprise: a socket from another page than the one allowed is refused before it is one, which only raw HTTP shows.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import { request as ask } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { answersOver, weights } from './http.ts';
import { expectSame, found, program, root, runtime, titled, type Told } from './runtime.ts';
import * as workerd from './workerd.ts';

const servers = join(found.project, 'servers');
let bundle: string;
let model: { origin: string; close(): void };
beforeAll(async () => {
  cpSync(join(import.meta.dirname, 'servers'), servers, { recursive: true });
  bundle = await workerd.bundled('tests/runtimes/servers/isolate');
  model = await weights();
});
afterAll(() => model.close());

/** Starts a server that prints its URL, and ends it with SIGTERM; resolves to its exit status. */
async function served(
  command: string,
  words: readonly string[],
  work: (url: string) => Promise<void>,
): Promise<number | null> {
  const child = spawn(command, words, {
    cwd: found.project,
    env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  try {
    const url = await new Promise<string>((resolve, reject) => {
      const look = (bytes: Buffer): void => {
        said += bytes.toString();
        const there = /^(http:\S+)\n/m.exec(said)?.[1];
        if (there !== undefined) resolve(there);
      };
      child.stdout.on('data', look);
      child.stderr.on('data', look);
      child.on('error', reject);
      void ended.then((code) => reject(new Error(`it ended with ${code}: ${said}`)));
    });
    await work(url);
  } finally {
    child.kill();
  }
  return await ended;
}

const chat =
  (url: string) =>
  (body: string): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });

/** What an example prints last, as it is started by its README; `key` says whose dialect it speaks. */
async function example(name: string, url: string, key: string): Promise<Record<string, unknown>> {
  const words = [join(root, 'examples/service', name), url];
  const ended = await program(process.execPath, words, { env: { OCELLI_KEY: key } });
  expect(ended).toMatchObject({ code: 0, err: '' });
  return JSON.parse(ended.out.trim().split('\n').at(-1) as string) as Record<string, unknown>;
}

async function expectDialects(url: string): Promise<void> {
  expect(await example('azion_tools.mjs', url, 'any')).toBeTruthy();
  expect(await example('segmind_question.mjs', url, 'SG_example')).toHaveProperty('choices');
  expect(await example('gigarouter_boxes.mjs', url, 'gr-example')).toBeInstanceOf(Array);
  const wrong = await chat(url)('{"messages": []}');
  expect([wrong.status, wrong.headers.get('x-error-code')]).toEqual([400, expect.any(String)]);
  expect((await fetch(`${url}/nowhere`)).status).toBe(404);
  expect((await fetch(`${url}/v1/models`)).headers.get('x-request-id')).toBeTruthy();
}

/** The status that an upgrade gets. */
function upgrade(url: string, path: string, origin?: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      'sec-websocket-key': Buffer.from('sixteen bytes...').toString('base64'),
      ...(origin !== undefined && { origin }),
    };
    const sent = ask(`${url}${path}`, { headers });
    sent.on('upgrade', (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
    sent.on('response', (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on('error', reject).end();
  });
}

async function expectTasks(url: string): Promise<void> {
  const http = (await example('runware_http.mjs', url, 'example')) as { data: object[] };
  expect(http.data[0]).toHaveProperty('text');
}

async function expectRunware(url: string): Promise<void> {
  await expectTasks(url);
  const { data } = (await example('runware_socket.mjs', url, 'example')) as { data: object[] };
  expect(data[0]).toHaveProperty('text');
  expect(await upgrade(url, '/v1')).toBe(101);
  expect(await upgrade(url, '/v1', 'https://page.example')).toBe(101);
  expect(await upgrade(url, '/v1', 'https://other.example')).toBe(403);
  expect(await upgrade(url, '/v2')).toBe(404);
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1`);
  socket.on('open', () => socket.send(new Uint8Array([1, 2])));
  const [code] = (await once(socket, 'close')) as [number];
  expect(code).toBe(1003);
}

describe.each([
  ['node 24', ['servers/node.mjs']],
  ['deno', ['run', '--no-prompt', '--allow-read', '--allow-net', 'servers/deno.mjs']],
  ['bun', ['servers/bun.mjs']],
])('%s', (name, words) => {
  it('serves', async () => {
    let told: Told | undefined;
    const ended = served(runtime(name).path, words, async (url) => {
      told = { answers: await answersOver(chat(url)), variant: 'mt-relaxed', threads: 2 };
      await expectDialects(url);
      await expectRunware(url);
    });
    const row = { runtime: titled(name), how: 'ocelli/worker' };
    await expectSame(row, async () => {
      expect(await ended).toBe(0);
      return told as Told;
    });
  });
});

it('workerd serves', async () => {
  await expectSame({ runtime: titled('workerd'), how: 'ocelli/worker' }, async () => {
    let told: Told | undefined;
    const text = await workerd.served(bundle, { MODEL: model.origin }, async (url) => {
      const origin = url.replace(/\/$/, '');
      told = { answers: await answersOver(chat(origin)), variant: 'st-relaxed', threads: 1 };
      await expectDialects(origin);
      await expectTasks(origin);
    });
    expect(text).toBe('');
    return told as Told;
  });
});
