// The embedded model behind a small server, asked over HTTP and here: the same objects, chunks and errors.
import { createServer, type Server } from 'node:http';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, ChatBody, ChatCompletion, ChatCompletionChunk } from '../../js/index.ts';
import { builtPackage, root, variantNames } from '../js/real_model.ts';

let here: AI;
let there: AI;
let server: Server;
/** Requests at the server that ended before their answer did. */
let left = 0;

beforeAll(async () => {
  const lib = await builtPackage();
  const variant = variantNames[0];
  here = lib.createAI(variant ? { variant } : {});
  server = createServer(async (request, response) => {
    const leaving = new AbortController();
    response.on('close', () => {
      if (!response.writableFinished) left++;
      leaving.abort();
    });
    let body = '';
    for await (const bytes of request) body += String(bytes);
    const { model, ...fields } = JSON.parse(body) as ChatBody & { model?: string };
    try {
      const answer = (await here.run(model, {
        ...fields,
        signal: leaving.signal,
      } as ChatBody)) as unknown;
      if (!(answer instanceof Response)) return void response.end(JSON.stringify(answer));
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for await (const bytes of answer.body as unknown as AsyncIterable<Uint8Array>)
        response.write(bytes);
      response.end();
    } catch (error) {
      if (leaving.signal.aborted) return;
      const { status } = error as { status?: number };
      response.writeHead(status ?? 500).end(JSON.stringify({ error: lib.errorObject(error) }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  there = lib.createAI({ engine: 'remote', remote: { url } });
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
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
const steady = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value)
      .replace(/"(chatcmpl(-tool)?)-[0-9a-f]{32}"/g, '"$1"')
      .replace(/"created":\d+/g, '"created":0'),
  );

describe.each(Object.entries(asked))('%s', (_, body) => {
  const how = { temperature: 0, ...body };
  it('whole', async () => {
    const [one, other] = await Promise.all([here.run(id, how), there.run(id, how)]);
    expect(steady(other)).toEqual(steady(one));
    expect(Object.keys(other)).toEqual(Object.keys(one));
  });

  it('streamed', async () => {
    const stream = { ...how, stream: true as const, stream_options: { include_usage: true } };
    const chunks = async (ai: AI): Promise<ChatCompletionChunk[]> => {
      const all = [];
      for await (const chunk of await ai.run(id, stream)) all.push(chunk);
      return all;
    };
    const [one, other] = [await chunks(here), await chunks(there)];
    // A step may bring more than one token when others run; here nothing else does.
    expect(steady(other)).toEqual(steady(one));
    expect(one.length).toBeGreaterThan(3);
    const bytes = async (ai: AI): Promise<string> => await (await ai.run(id, stream)).text();
    expect((await bytes(there)).replace(/[0-9a-f]{32}|\d{10}/g, '')).toBe(
      (await bytes(here)).replace(/[0-9a-f]{32}|\d{10}/g, ''),
    );
    const whole = async (ai: AI): Promise<ChatCompletion> => (await ai.run(id, stream)).json();
    expect(steady(await whole(there))).toEqual(steady(await whole(here)));
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
    const error = await ai
      .run(model, body)
      .catch((reason: unknown) => reason as Error & Record<string, unknown>);
    expect(error).toBeInstanceOf(Error);
    const { name, message, status, type, param } = error as Error & Record<string, unknown>;
    return { name, message, status, type, param };
  };
  for (const stream of [false, true])
    expect(await failure(there, stream)).toEqual(await failure(here, stream));
});

it('an abort ends the request there', async () => {
  const before = left;
  const leaving = new AbortController();
  const body = { ...(asked['text'] as ChatBody), max_tokens: 2000, ignore_eos: true };
  const stream = await there.run(null, { ...body, stream: true, signal: leaving.signal });
  const reason = new Error('enough');
  const read = async (): Promise<void> => {
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) leaving.abort(reason);
  };
  await expect(read()).rejects.toBe(reason);
  await expect.poll(() => left, { timeout: 30_000 }).toBe(before + 1);
});
