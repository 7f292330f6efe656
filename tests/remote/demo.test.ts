// The embedded model behind the package's own worker, asked over HTTP and here: the same objects, bytes and errors.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, ChatBody } from '../../js/index.ts';

import { builtPackage, root, variantNames } from '../js/real_model.ts';

let here: AI;
let there: AI;
let server: { url: string; close(graceMs: number): Promise<void> };
/** What the worker has told of each request. */
const records: Record<string, unknown>[] = [];

beforeAll(async () => {
  const lib = await builtPackage();
  const built = async <T>(path: string): Promise<T> => (await import(join(root, path))) as T;
  const { createWorker } =
    await built<typeof import('../../worker/index.ts')>('build/worker/index.js');
  const { serveNode } = await built<typeof import('../../worker/adapters/node.ts')>(
    'build/worker/adapters/node.js',
  );
  // One thread, since answers are compared, not timed.
  const variant = variantNames.findLast((name) => name.startsWith('st'));
  here = lib.createAI(variant ? { variant } : {});
  const worker = createWorker({
    ai: here,
    keys: [{ name: 'tests', sha256: createHash('sha256').update('sk-tests').digest('hex') }],
    log: (record) => records.push(record),
  });
  server = await serveNode(worker, { port: 0 });
  there = lib.createAI({ engine: 'remote', remote: { url: server.url, apiKey: 'sk-tests' } });
});
afterAll(async () => {
  await server.close(0);
  await here.close();
});

const picture = readFileSync(join(root, 'models/demo/examples/shapes.png'));
const tool = JSON.parse(
  readFileSync(join(root, 'models/demo/weather_tool.json'), 'utf8'),
) as object;
const id = 'qwen-qwen25-vl-3b-instruct-awq';
const asked: Record<string, ChatBody> = {
  text: { messages: [{ role: 'user', content: 'What is the capital of France?' }] },
  picture: {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image', image: picture },
          { type: 'text', text: 'Describe this image.' },
        ],
      },
    ],
  },
  tool: {
    messages: [{ role: 'user', content: 'What is the weather in London?' }],
    tools: [tool as never],
  },
  'log-probabilities and token ids': {
    messages: [{ role: 'user', content: 'Who are you?' }],
    ...{
      logprobs: true,
      top_logprobs: 2,
      return_token_ids: true,
      max_tokens: 5,
      n: 2,
      seed: 3,
      temperature: 1,
    },
  },
};

/** Without what is drawn at random for each answer. */
const steady = (text: string): string =>
  text
    .replace(/"(chatcmpl(-tool)?)-[0-9a-f]{32}"/g, '"$1"')
    .replace(/"created":\d+/g, '"created":0');

/** What `work` rejects with; the built package's OcelliError is another class than the source's. */
async function rejection(work: Promise<unknown>): Promise<Error & Record<string, unknown>> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  return error as Error & Record<string, unknown>;
}

describe.each(Object.entries(asked))('%s', (_, body) => {
  const how = { temperature: 0, ...body };
  const streamed = { ...how, stream: true as const, stream_options: { include_usage: true } };

  it('whole, and put together', async () => {
    const one = steady(JSON.stringify(await here.run(id, how)));
    expect(steady(JSON.stringify(await there.run(id, how)))).toBe(one);
    const whole = await (await there.run(id, streamed)).json();
    expect(JSON.parse(steady(JSON.stringify(whole)))).toEqual(JSON.parse(one));
  });

  it('streamed, byte for byte', async () => {
    const bytes = async (ai: AI): Promise<string> =>
      steady(await (await ai.run(id, streamed)).text());
    const one = await bytes(here);
    expect(await bytes(there)).toBe(one);
    expect(one.split('\n\n').length).toBeGreaterThan(5);
  });
});

it.each<[string, string | null, object]>([
  ['a field out of range', null, { top_p: 7 }],
  ['an unknown model', 'nobody/nothing', {}],
  [
    'an image that is none',
    null,
    {
      messages: [
        { role: 'user', content: [{ type: 'image', image: 'data:image/png;base64,AAAA' }] },
      ],
    },
  ],
  [
    'a prompt that is too long',
    null,
    { messages: [{ role: 'user', content: 'long '.repeat(5000) }] },
  ],
])('the same error for %s', async (_, model, fields) => {
  const failure = async (ai: AI, stream: boolean): Promise<unknown> => {
    const body = { ...asked['text'], ...fields, stream } as ChatBody & { stream: true };
    const { name, message, status, code, type, param } = await rejection(ai.run(model, body));
    return { name, message, status, code, type, param };
  };
  for (const stream of [false, true])
    expect(await failure(there, stream)).toEqual(await failure(here, stream));
});

it('another key is refused', async () => {
  const lib = await builtPackage();
  const ai = lib.createAI({ engine: 'remote', remote: { url: server.url, apiKey: 'sk-other' } });
  const like = { status: 401, code: 'invalid_api_key', type: 'AuthenticationError' };
  expect(await rejection(ai.run(null, asked['text'] as ChatBody))).toMatchObject(like);
});

it('an abort ends the request there, under the id that it was given', async () => {
  const leaving = new AbortController();
  const body = { ...(asked['text'] as ChatBody), max_tokens: 2000, ignore_eos: true };
  const extras = { signal: leaving.signal, requestId: 'mine' };
  const stream = await there.run(null, { ...body, stream: true }, extras);
  const reason = new Error('enough');
  const read = async (): Promise<void> => {
    for await (const chunk of stream) {
      expect(chunk.id).toBe('chatcmpl-mine');
      if (chunk.choices[0]?.delta.content) leaving.abort(reason);
    }
  };
  await expect(read()).rejects.toBe(reason);
  const mine = (): unknown => records.find((one) => one['request_id'] === 'mine');
  await expect.poll(mine, { timeout: 60_000 }).toBeDefined();
  expect((mine() as { completion_tokens?: number }).completion_tokens ?? 0).toBeLessThan(1000);
});

it('tells what it is', async () => {
  const like = { engine: 'remote', model: 'ocelli-demo', url: `${server.url}/v1/chat/completions` };
  expect(await there.info()).toMatchObject(like);
});
