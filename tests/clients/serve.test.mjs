// `ocelli serve` as a process with the embedded model: keys by file and environment, what it refuses, signals, its log.
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startServer } from './server.mjs';

const messages = [{ role: 'user', content: 'What is the capital of France?' }];
const ask = (server, body, headers = {}) =>
  fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

it('takes keys from a file and from the environment', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'ocelli-')), 'keys.json');
  const sha256 = createHash('sha256').update('sk-file').digest('hex');
  writeFileSync(file, JSON.stringify([{ name: 'ann', sha256, requestsPerMinute: 1 }]));
  const server = await startServer(['--keys', file], { OCELLI_API_KEYS: 'sk-env,sk-more' });
  const status = async (key) =>
    (await ask(server, { messages, max_tokens: 1 }, { authorization: `Bearer ${key}` })).status;
  expect([await status('sk-env'), await status('sk-file')]).toEqual([200, 200]);
  expect([await status('sk-file'), await status('sk-none')]).toEqual([429, 401]);
  expect(await server.stop()).toBe(0);
  const records = server.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(records.map(({ status: code, caller }) => [code, caller])).toEqual([
    [200, 'key 1'],
    [200, 'ann'],
    [429, 'ann'],
    [401, undefined],
  ]);
  expect(server.out).not.toMatch(/France|sk-/);
});

it('looks at what an image is, not at what its server says', async () => {
  const picture = readFileSync('models/demo/examples/shapes.png');
  const host = createServer(({ url }, answer) => {
    const body = url === '/page' ? '<!doctype html><p>no picture' : picture;
    answer
      .writeHead(200, { 'content-type': url === '/page' ? 'image/png' : 'text/html' })
      .end(body);
  });
  await new Promise((resolve) => host.listen(0, '127.0.0.1', resolve));
  const server = await startServer(['--private-images', '--image-mib', '1']);
  const see = async (path) => {
    const url = `http://127.0.0.1:${host.address().port}${path}`;
    const content = [{ type: 'image_url', image_url: { url } }];
    return ask(server, { messages: [{ role: 'user', content }], max_tokens: 4 });
  };
  expect((await see('/picture')).status).toBe(200);
  expect((await see('/page')).status).toBe(400);
  expect(await server.stop()).toBe(0);
  host.close();
});

it('lets a stream finish when it is told to end, and refuses what comes', async () => {
  const server = await startServer(['--drain', '3600']);
  const body = { messages, stream: true, ignore_eos: true, max_tokens: 100 };
  const reply = await ask(server, body);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value;
  const ended = server.stop('SIGTERM');
  while (!server.said.includes('finishing')) await new Promise((resolve) => setTimeout(resolve, 5));
  for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
  expect(text).toMatch(/"finish_reason":"length".*\n\ndata: \[DONE\]\n\n$/);
  expect(await ended).toBe(0);
});

it('ends a stream with an error when its time is over', async () => {
  const server = await startServer(['--drain', '0']);
  const reply = await ask(server, { messages, stream: true, ignore_eos: true });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value;
  const ended = server.stop('SIGINT');
  for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
  expect(text).toMatch(
    /the server is shutting down.*\n\ndata: \[DONE\]\n\n$|"finish_reason":"length"/,
  );
  expect(await ended).toBe(0);
});

it('says why it cannot start', async () => {
  await expect(startServer(['--model', '/nowhere'])).rejects.toThrow(/ended with 1: [^]*nowhere/);
  await expect(startServer(['--host', '192.0.2.1'])).rejects.toThrow(/EADDRNOTAVAIL/);
  const file = join(mkdtempSync(join(tmpdir(), 'ocelli-')), 'keys.json');
  writeFileSync(file, '[{"name":"ann","sha256":"12"}]');
  await expect(startServer(['--keys', file])).rejects.toThrow(/64 hexadecimal digits/);
});
