// Azion's own client against `ocelli serve`. Surprise: its address is a constant, so fetch is replaced by one that goes to this
// server's; and it is taken out of a package of hundreds of dependencies, none of which it uses.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, inject } from 'vitest';
import { cannot, cells } from './cells.mjs';
import * as asked from './questions.mjs';
import { keys, leaves } from './server.mjs';

const { server, failing } = inject('at');
const { azion } = inject('fetched');
const { createClient } = await import(pathToFileURL(join(azion.path, 'dist/index.mjs')).href);
const types = join(azion.path, 'dist/index.d.ts');
const { messages } = asked;

const its = 'https://ai.azion.com/copilot/chat/completions';
const fetch = globalThis.fetch;
let goingTo = server;
let signal;
beforeAll(() => {
  globalThis.fetch = (url, init) =>
    url === its
      ? fetch(`${goingTo.url}/v1/chat/completions`, { ...init, signal })
      : fetch(url, init);
});
afterAll(() => {
  globalThis.fetch = fetch;
});

const client = (token = keys.good) => createClient({ token });

/** Throws unless it gives this error of a status: it has no other words for one. */
async function fails(status, request = { messages }, token = keys.good) {
  const words = `HTTP error! status: ${status}`;
  const { data, error } = await client(token).chat(request);
  expect([data, error.message]).toEqual([null, words]);
  const told = [];
  for await (const one of client(token).streamChat(request)) told.push(one);
  expect(told.map((one) => [one.data, one.error.message])).toEqual([[null, words]]);
}

cells('azion/ai', azion.version, {
  async chat() {
    const { data } = await client().chat({ messages });
    expect(data.choices[0].message.content).toMatch(/Paris/);
    expect(data.usage.total_tokens).toBeGreaterThan(0);
  },
  async stream() {
    let text = '';
    for await (const { data, error } of client().streamChat({ messages })) {
      expect(error).toBe(null);
      text += data.choices[0].delta.content ?? '';
    }
    expect(text).toMatch(/Paris/);
  },
  tools: cannot(types, "role: 'system' | 'user' | 'assistant';"),
  image: cannot(types, 'content: string;'),
  'JSON schema': cannot(types, 'Additional Azion-specific configuration'),
  400: () => fails(400, { messages: [{ role: 'user', content: 7 }] }),
  401: () => fails(401, { messages }, keys.unknown),
  404: () => fails(404, { messages, model: 'nope' }),
  async 429() {
    await client(keys.limited).chat({ messages });
    await fails(429, { messages }, keys.limited);
  },
  async 500() {
    goingTo = failing;
    await fails(500).finally(() => (goingTo = server));
  },
  // It takes no signal; who replaces fetch can give it one.
  async abort() {
    const request = { messages, ...asked.endless };
    const stop = new AbortController();
    ({ signal } = stop);
    await leaves(server, async () => {
      const stream = client().streamChat(request);
      await stream.next();
      return async () => {
        stop.abort();
        let last;
        for await (last of stream);
        expect(last.error.name).toBe('AbortError');
      };
    }).finally(() => (signal = undefined));
  },
});
