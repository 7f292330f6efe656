// AI.run at an endpoint that does what endpoints do: other spellings, failures of every kind, connections that break. The
// answers have to be those of the engine here, or its typed errors.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  createAI,
  type AI,
  type AIOptions,
  type ChatBody,
  type ChatStream,
} from '../../js/index.ts';
import { rejection } from '../js/fake_ai.ts';
import { removal } from '../js/real_model.ts';
import * as stubs from './stub.ts';

const { dataOf, dropped, events, json, pieces, plain, silent, whole } = stubs;
let stub: stubs.Stub;
beforeAll(async () => void (stub = await stubs.startStub()));
afterAll(() => stub.close());

const remoteWith = (more: Partial<AIOptions['remote']> = {}, options: AIOptions = {}): AI =>
  createAI({ engine: 'remote', remote: { url: stub.url, retryMs: 1, ...more }, ...options });
const messages = [{ role: 'user', content: 'Who are you?' }];
const streamed = async (ai: AI, body: Partial<ChatBody> = {}): Promise<ChatStream> =>
  await ai.run(null, { messages, ...body, stream: true });
const saidBy = async (stream: ChatStream): Promise<string> => {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
};
const words = ['I am ', 'é\u{1f980} ', 'here.'];
const text = words.join('');

describe('a whole answer', () => {
  it('is the object, with the id that was asked for', async () => {
    stub.script(json(whole(text, 3)));
    const answer = await remoteWith().run('some/model', { messages, temperature: 0 });
    expect(JSON.stringify(answer)).toBe(JSON.stringify({ ...whole(text, 3), model: 'some/model' }));
    const [seen] = stub.seen;
    expect([seen?.method, seen?.path]).toEqual(['POST', '/v1/chat/completions']);
    expect(seen?.json).toEqual({ model: 'some/model', messages, temperature: 0 });
    expect(seen?.headers).toMatchObject({ 'content-type': 'application/json' });
  });

  it("has the endpoint's id when none was asked for", async () => {
    stub.script(json(whole(text, 3)));
    expect((await remoteWith().run('', { messages })).model).toBe('served');
    expect(stub.seen[0]?.json).toEqual({ messages });
  });

  it('gets the keys that other servers leave out, and keeps those that they add', async () => {
    const bare = {
      choices: [{ message: { content: 'Hi', refusal: null } }],
      system_fingerprint: 'x',
    };
    stub.script(json(bare));
    const answer = await remoteWith({ model: 'theirs' }).run(null, { messages });
    const choices = [
      {
        index: 0,
        message: {
          role: 'assistant',
          reasoning_content: null,
          content: 'Hi',
          tool_calls: [],
          refusal: null,
        },
        ...{ logprobs: null, finish_reason: 'stop', stop_reason: null },
      },
    ];
    expect(answer).toMatchObject({ model: 'theirs', object: 'chat.completion', choices });
    expect(answer).toMatchObject({ usage: { prompt_tokens: 0 }, system_fingerprint: 'x' });
    expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
  });

  it('may come as events all the same', async () => {
    stub.script(pieces([events(dataOf(words))]));
    expect(await remoteWith().run('m', { messages })).toEqual({ ...whole(text, 3), model: 'm' });
  });

  it('keeps the spelling of numbers in a body that is text', async () => {
    stub.script(json(whole(text, 3)));
    const body = '{"messages": [], "seed": 1234567890123456789, "temperature": 1.0}';
    await remoteWith({ model: 'm' }).run(null, body);
    expect(stub.seen[0]?.body).toBe(
      '{"model":"m","messages":[],"seed":1234567890123456789,"temperature":1.0}',
    );
  });
});

describe('a streamed answer', () => {
  it('is chunks, bytes or a completion, equal to what came', async () => {
    const data = dataOf(words);
    stub.script(pieces([events(data)]));
    const body = { stream_options: { include_usage: true } };
    const chunks = [];
    for await (const chunk of await streamed(remoteWith(), body))
      chunks.push(JSON.stringify(chunk));
    expect(chunks).toEqual(data);

    const response = await streamed(remoteWith(), body);
    expect(response).toBeInstanceOf(Response);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toBe(events(data));
    expect(await (await streamed(remoteWith(), body)).json()).toEqual(whole(text, 3));
  });

  it('asks for usage, which json() has, and shows it only to those who asked', async () => {
    stub.script(pieces([events(dataOf(words))]));
    expect(await (await streamed(remoteWith())).text()).toBe(events(dataOf(words, false)));
    expect(stub.seen[0]?.json['stream_options']).toEqual({ include_usage: true });
    expect((await (await streamed(remoteWith())).json()).usage.completion_tokens).toBe(4);
    await (await streamed(remoteWith({ streamUsage: false }))).text();
    expect(stub.seen[2]?.json).toEqual({ messages, stream: true });
  });

  it('is the same from 200 random cuts, with any end of line, comments and without [DONE]', async () => {
    const random = stubs.seeded(11);
    const data = dataOf(words);
    for (let round = 0; round < 200; round++) {
      const end = ['\n', '\r\n', '\r'][round % 3] as string;
      const lines = [...data, ...(round % 2 ? ['[DONE]'] : [])].map(
        (one) => `data: ${one}${end}${end}`,
      );
      const bytes = new TextEncoder().encode(`: hello${end}${lines.join(`: ping${end}${end}`)}`);
      const parts: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; ) {
        const length = 1 + Math.floor(random() * (round % 8 ? 600 : 30));
        parts.push(bytes.subarray(at, at + length));
        at += length;
      }
      stub.script(pieces(parts, { type: round % 5 ? 'text/event-stream' : 'text/plain' }));
      const answer = await (await streamed(remoteWith())).json();
      expect(answer, `round ${round}`).toEqual(whole(text, 3));
    }
  });

  it('may come whole all the same', async () => {
    const call = { id: 'call-1', type: 'function', function: { name: 'f', arguments: '{"a": 1}' } };
    const { choices, ...rest } = whole('', 3) as { choices: { message: object }[] };
    const [choice] = choices;
    const message = { ...choice?.message, content: null, tool_calls: [call] };
    const one = { ...rest, choices: [{ ...choice, message, finish_reason: 'tool_calls' }] };
    stub.script(json(one));
    const chunks = [];
    for await (const { choices } of await streamed(remoteWith())) chunks.push(choices[0]);
    expect(chunks.map((part) => [part?.delta, part?.finish_reason])).toEqual([
      [{ role: 'assistant', content: '' }, null],
      [{ tool_calls: [{ index: 0, ...call }] }, null],
      [{ content: '' }, 'tool_calls'],
    ]);
    expect(await (await streamed(remoteWith())).json()).toEqual(one);
  });

  it('puts tool calls, several choices, log-probabilities and token ids together', async () => {
    const base = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'm' };
    const of = (index: number, delta: object, more: object = {}): string =>
      JSON.stringify({ ...base, choices: [{ index, delta, finish_reason: null, ...more }] });
    const entry = (token: string): object => ({
      token,
      logprob: -1,
      bytes: null,
      top_logprobs: [],
    });
    const data = [
      of(1, {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'f' } }],
      }),
      of(0, { content: 'A' }, { logprobs: { content: [entry('A')] }, token_ids: [1] }),
      of(1, { tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] }),
      of(0, { content: 'B' }, { logprobs: { content: [entry('B')] }, token_ids: [2] }),
      of(1, { tool_calls: [{ index: 0, function: { arguments: ' 1}' } }] }),
      of(1, {
        tool_calls: [
          { index: 1, id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
        ],
      }),
      of(0, {}, { finish_reason: 'stop', stop_reason: 7 }),
      of(1, {}, { finish_reason: 'tool_calls' }),
    ];
    stub.script(pieces([events(data)]));
    const { choices } = await (await streamed(remoteWith(), { n: 2 })).json();
    expect(choices.map(({ message }) => message.content)).toEqual(['AB', null]);
    expect(choices.map((one) => [one.finish_reason, one.stop_reason])).toEqual([
      ['stop', 7],
      ['tool_calls', null],
    ]);
    expect(choices[0]).toMatchObject({
      token_ids: [1, 2],
      logprobs: { content: [entry('A'), entry('B')] },
    });
    expect(choices[1]?.message.tool_calls).toEqual([
      { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x": 1}' } },
      { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
    ]);
  });
});

describe('errors', () => {
  it.each<[string, number, unknown, object]>([
    [
      'nested',
      400,
      { error: { message: 'bad top_p', type: 'BadRequestError', param: 'top_p', code: 400 } },
      {
        status: 400,
        code: 'invalid_value',
        type: 'BadRequestError',
        param: 'top_p',
        message: 'bad top_p',
      },
    ],
    [
      'with a code of its own',
      404,
      { error: { message: 'no such', type: 'x', param: 'model', code: 'model_not_found' } },
      { status: 404, code: 'model_not_found', type: 'NotFoundError', param: 'model' },
    ],
    [
      'flat',
      400,
      {
        object: 'error',
        message: "This model's maximum context length is 9 tokens.",
        type: 'BadRequestError',
        param: null,
        code: 400,
      },
      { status: 400, code: 'context_length_exceeded', message: /maximum context length/ },
    ],
    [
      'gigarouter',
      402,
      { error: { code: 'out_of_credit', message: 'top up' } },
      { status: 402, code: 'out_of_credit', type: 'BadRequestError', message: 'top up' },
    ],
    [
      'a string',
      401,
      { error: 'Unauthorized' },
      {
        status: 401,
        code: 'invalid_api_key',
        type: 'AuthenticationError',
        message: 'Unauthorized',
      },
    ],
    [
      'a string with words',
      403,
      { error: 'forbidden', error_description: 'not yours', status_code: 403 },
      { status: 403, code: 'access_denied', type: 'PermissionDeniedError', message: 'not yours' },
    ],
    [
      'a list',
      400,
      { errors: [{ code: 'missingImage', message: 'no image', parameter: 'inputs.image' }] },
      { status: 400, code: 'missingImage', param: 'inputs.image', message: 'no image' },
    ],
    [
      'detail',
      415,
      { detail: 'Unsupported Media Type' },
      { status: 415, code: 'unsupported_media_type', message: 'Unsupported Media Type' },
    ],
    [
      'a list of details',
      422,
      { detail: [{ loc: ['body', 'n'], msg: 'must be 1' }] },
      { status: 422, code: 'invalid_value', message: 'body.n: must be 1' },
    ],
    [
      'only a message',
      404,
      { message: 'The model `x` does not exist.' },
      { status: 404, code: 'model_not_found' },
    ],
    ['nothing that is known', 418, { tea: 1 }, { status: 418, message: /HTTP status 418/ }],
  ])('%s', async (_, status, body, like) => {
    stub.script(json(body, status));
    for (const stream of [false, true]) {
      const error = await rejection(remoteWith().run(null, { messages, stream: stream as true }));
      for (const [key, value] of Object.entries(like)) {
        const found = error[key as keyof typeof error];
        if (value instanceof RegExp) expect(found).toMatch(value);
        else expect(found, key).toBe(value);
      }
      expect(error.name).toBe(error.type);
    }
    expect(stub.seen.length).toBe(2);
  });

  it('a web page, with and without a status that fails', async () => {
    const page =
      '<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>';
    stub.script(plain(page, 502, 'text/html'));
    const error = await rejection(remoteWith({ retries: 0 }).run(null, { messages }));
    expect(error).toMatchObject({
      status: 502,
      code: 'internal_error',
      type: 'InternalServerError',
    });
    expect(error.message).toBe(
      `${stub.url}/v1/chat/completions answers with HTTP status 502: 502 Bad Gateway`,
    );
    for (const stream of [false, true]) {
      stub.script(plain(page, 200, 'text/event-stream'));
      const other = await rejection(remoteWith().run(null, { messages, stream: stream as true }));
      expect(other).toMatchObject({ status: 502, code: 'invalid_response' });
      expect(other.message).toMatch(/got a web page: "502 Bad Gateway"/);
      expect(stub.seen.length).toBe(1);
    }
  });

  it('inside a stream: a rejection before the first chunk, later the end of the stream', async () => {
    const failure = JSON.stringify({
      error: { message: 'no memory', type: 'x', param: null, code: 507 },
    });
    stub.script(pieces([events([failure])]));
    const early = await rejection(streamed(remoteWith({ retries: 0 })));
    expect(early).toMatchObject({ status: 507, message: 'no memory' });

    const data = dataOf(words).slice(0, 2);
    stub.script(pieces([events([...data, failure])]));
    const said: string[] = [];
    const late = await rejection(
      (async () => {
        for await (const chunk of await streamed(remoteWith())) said.push(JSON.stringify(chunk));
      })(),
    );
    expect([late.status, late.message, said]).toEqual([507, 'no memory', data]);
    const bytes = await (await streamed(remoteWith())).text();
    expect(bytes).toBe(
      events([
        ...data,
        '{"error":{"message":"no memory","type":"InternalServerError","param":null,"code":507}}',
      ]),
    );
    expect(await rejection((await streamed(remoteWith())).json())).toMatchObject({ status: 507 });
    expect(stub.seen.length).toBe(3); // nothing was tried again
  });

  it('a stream that is cut, or whose events are none', async () => {
    const data = dataOf(words).slice(0, 2);
    for (const [act, code, message] of [
      [pieces([events(data, false)], { cut: true }), 'connection_lost', /chat\/completions: /],
      [pieces([events(data, false)]), 'connection_lost', /cut before its end/],
      [pieces([events([...data, '{"choices": ['])]), 'invalid_response', /an event is not JSON/],
    ] as const) {
      stub.script(act);
      const error = await rejection((await streamed(remoteWith())).json());
      expect(error).toMatchObject({ status: 502, code });
      expect(error.message).toMatch(message);
      expect(stub.seen.length).toBe(1);
    }
  });

  it('JSON that is no completion', async () => {
    stub.script(json({ ok: true }));
    const error = await rejection(remoteWith().run(null, { messages }));
    expect(error).toMatchObject({ status: 502, code: 'invalid_response' });
    expect(error.message).toMatch(/expected a chat completion, got {"ok":true}/);
  });

  it('a redirect, which is not followed: it would carry the key elsewhere', async () => {
    stub.script(plain('', 301, 'text/plain', { location: 'https://elsewhere.example/v1?token=1' }));
    const error = await rejection(remoteWith({ apiKey: 'secret' }).run(null, { messages }));
    expect(error).toMatchObject({ status: 502, code: 'redirected', param: 'remote.url' });
    expect(error.message).toMatch(
      /redirects to https:\/\/elsewhere\.example\/v1 \(HTTP status 301\)/,
    );
    expect(stub.seen.length).toBe(1);
  });

  it('never show the key or the query', async () => {
    stub.script(dropped);
    const ai = remoteWith({ apiKey: 'sk-secret', url: `${stub.url}/v1?code=hidden`, retries: 0 });
    const error = await rejection(ai.run(null, { messages }));
    expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toMatch(
      /sk-secret|hidden/,
    );
    expect(stub.seen[0]?.path).toBe('/v1/chat/completions?code=hidden');
  });
});

describe('retries', () => {
  const good = (stream: boolean): stubs.Act =>
    stream ? pieces([events(dataOf(words))]) : json(whole(text, 3));
  const busy = (status: number, headers = {}): stubs.Act =>
    json({ error: { message: 'busy', code: status } }, status, headers);

  it.each([
    ['a dropped connection', dropped],
    ['408', busy(408)],
    ['429', busy(429)],
    ['500 in HTML', plain('<html>oops</html>', 500, 'text/html')],
    ['503', busy(503)],
    ['an answer without bytes', pieces([])],
    ['an answer that is cut in its head', pieces([], { cut: true })],
    ['JSON that is cut', pieces(['{"id": "x", "choi'])],
    [
      'an error as the first event',
      pieces([events(['{"error": {"message": "busy", "code": 503}}'])]),
    ],
  ])('mend %s', async (_, act) => {
    for (const stream of [false, true]) {
      stub.script(act, act, good(stream));
      const answer = await remoteWith().run(null, { messages, stream: stream as false });
      const completion =
        (answer as unknown) instanceof Response
          ? await (answer as unknown as ChatStream).json()
          : answer;
      expect(completion).toEqual(whole(text, 3));
      expect(stub.seen.length).toBe(3);
      expect(new Set(stub.seen.map(({ body }) => body)).size).toBe(1);
    }
  });

  it('mend a stream that ends before its first chunk, and none that has begun', async () => {
    stub.script(
      pieces([': hello\n\n'], { cut: true }),
      pieces(['data: {"cho'], { cut: true }),
      good(true),
    );
    expect(await saidBy(await streamed(remoteWith()))).toBe(text);
    expect(stub.seen.length).toBe(3);
  });

  it('end after as many as were asked for', async () => {
    stub.script(busy(503));
    const error = await rejection(remoteWith({ retries: 3 }).run(null, { messages }));
    expect([error.status, error.message, stub.seen.length]).toEqual([503, 'busy', 4]);
  });

  it.each([400, 401, 404, 501, 507])('do not repeat %d', async (status) => {
    stub.script(busy(status));
    expect((await rejection(remoteWith().run(null, { messages }))).status).toBe(status);
    expect(stub.seen.length).toBe(1);
  });

  it("follow the endpoint's x-should-retry", async () => {
    stub.script(busy(503, { 'x-should-retry': 'false' }));
    await rejection(remoteWith().run(null, { messages }));
    expect(stub.seen.length).toBe(1);
    stub.script(busy(409, { 'x-should-retry': 'true' }), good(false));
    await remoteWith().run(null, { messages });
    expect(stub.seen.length).toBe(2);
  });

  it.each<[string, Record<string, string>, object]>([
    ['Retry-After', { 'retry-after': '1' }, {}],
    ['retry-after-ms', { 'retry-after-ms': '1000', 'retry-after': '0' }, {}],
    ['retry_after_s', {}, { retry_after_s: 1 }],
  ])('wait as long as %s says', async (_, headers, more) => {
    const act = json({ error: { code: 'rate_limited', message: 'slow', ...more } }, 429, headers);
    stub.script(act, good(false));
    const start = performance.now();
    await remoteWith().run(null, { messages });
    // Timers may be a little early.
    expect(performance.now() - start).toBeGreaterThan(950);
  });

  it('do not wait for hours', async () => {
    stub.script(busy(429, { 'retry-after': '7200' }));
    expect(await rejection(remoteWith().run(null, { messages }))).toMatchObject({
      status: 429,
      code: 'rate_limit_exceeded',
      type: 'RateLimitError',
    });
    expect(stub.seen.length).toBe(1);
  });

  it('end when the caller aborts during a pause', async () => {
    stub.script(busy(429, { 'retry-after': '50' }));
    const leaving = new AbortController();
    const asked = remoteWith().run(null, { messages, signal: leaving.signal });
    const reason = new Error('enough');
    await expect.poll(() => stub.seen.length).toBe(1);
    await stub.seen[0]?.gone;
    leaving.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(stub.seen.length).toBe(1);
  });

  it('ask for headers anew', async () => {
    let asked = 0;
    const headers = async (url: string): Promise<Record<string, string>> => {
      expect(url).toBe(`${stub.url}/v1/chat/completions`);
      return { 'x-api-key': `key-${++asked}` };
    };
    stub.script(busy(503), good(false));
    await remoteWith({ headers }).run(null, { messages });
    expect(stub.seen.map((one) => one.headers['x-api-key'])).toEqual(['key-1', 'key-2']);
  });
});

describe('time-outs and aborts', () => {
  it('an answer that does not begin', async () => {
    stub.script(silent);
    for (const stream of [false, true]) {
      const ai = remoteWith({ timeoutMs: 30, retries: 1 });
      const error = await rejection(ai.run(null, { messages, stream: stream as true }));
      expect(error).toMatchObject({ status: 504, code: 'timeout' });
      expect(error.message).toMatch(/no answer has begun within 30 ms/);
    }
    expect(stub.seen.length).toBe(4);
    for (const { gone } of stub.seen) expect(await gone).toBe(false);
  });

  it('a stream that falls silent', async () => {
    stub.script(async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(events(dataOf(words).slice(0, 2), false));
    });
    const error = await rejection(saidBy(await streamed(remoteWith({ stallMs: 50 }))));
    expect(error).toMatchObject({ status: 504, code: 'timeout' });
    expect(await stub.seen[0]?.gone).toBe(false);
  });

  const endless: stubs.Act = async (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(events(dataOf(words).slice(0, 2), false));
  };

  it('an abort ends the request at the endpoint and rejects with its reason', async () => {
    const reason = new Error('enough');
    for (const act of [silent, endless]) {
      stub.script(act);
      const leaving = new AbortController();
      const asked = streamed(remoteWith(), { signal: leaving.signal } as Partial<ChatBody>).then(
        saidBy,
      );
      await expect.poll(() => stub.seen.length).toBe(1);
      leaving.abort(reason);
      await expect(asked).rejects.toBe(reason);
      expect(await stub.seen[0]?.gone).toBe(false);
    }
    stub.script(silent);
    await expect(
      remoteWith().run(null, { messages, signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    expect(stub.seen.length).toBe(0);
  });

  it('leaving a stream early ends it at the endpoint: break, cancel, and a body that was not read', async () => {
    const leave: ((stream: ChatStream) => Promise<void>)[] = [
      async (stream) => {
        for await (const chunk of stream) if (chunk) break;
      },
      async (stream) => {
        const reader = stream.body?.getReader();
        await reader?.read();
        await reader?.cancel();
      },
      async (stream) => void (await stream.body?.cancel()),
    ];
    for (const way of leave) {
      stub.script(endless);
      await way(await streamed(remoteWith()));
      expect(await stub.seen[0]?.gone).toBe(false);
    }
  });

  it('close() rejects what is pending, and a later run works', async () => {
    const ai = remoteWith();
    stub.script(silent);
    const pending = rejection(ai.run(null, { messages }));
    await expect.poll(() => stub.seen.length).toBe(1);
    await ai.close();
    expect(await pending).toMatchObject({ status: 500, code: 'engine_closed' });
    expect(await stub.seen[0]?.gone).toBe(false);
    stub.script(json(whole(text, 3)));
    expect((await ai.run(null, { messages })).choices[0]?.message.content).toBe(text);
  });
});

describe('images', () => {
  const png = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3, 250]);
  const data = `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ocelli-remote-'));
    writeFileSync(join(folder, 'a.png'), png);
    return removal(folder);
  });
  const sent = async (part: object, more: Partial<AIOptions['remote']> = {}): Promise<unknown> => {
    stub.script(json(whole(text, 3)));
    const content = [part as { type: string }, { type: 'text', text: 'What is this?' }];
    await remoteWith(more).run(null, { messages: [{ role: 'user', content }] });
    return (stub.seen[0]?.json['messages'] as { content: unknown[] }[])[0]?.content[0];
  };
  const sentUrl = (url: string): object => ({ type: 'image_url', image_url: { url } });

  it('of every kind that the engine here takes become data: URLs', async () => {
    const url = pathToFileURL(join(folder, 'a.png'));
    const kinds: unknown[] = [png, png.buffer, new Blob([png]), url, url.href, data];
    for (const image of kinds) expect(await sent({ type: 'image', image })).toEqual(sentUrl(data));
    expect(await sent({ type: 'image_url', image_url: data })).toEqual(sentUrl(data));
    expect(await sent({ image_url: { url: data, detail: 'low' } })).toEqual(sentUrl(data));
    const odd = `DATA:;charset=x;base64,${Buffer.from(png).toString('base64url')}`;
    expect(await sent({ image_url: odd })).toEqual(sentUrl(data));
  });

  it('keep their limits, and their place', async () => {
    const part = { type: 'image', image: png, min_pixels: 100, max_pixels: 1000 };
    expect(await sent(part)).toEqual({ ...sentUrl(data), min_pixels: 100, max_pixels: 1000 });
  });

  it('with http URLs stay, unless they are to be fetched here', async () => {
    const url = 'http://127.0.0.1:1/a.png';
    expect(await sent({ type: 'image_url', image_url: { url } })).toEqual(sentUrl(url));
    const fetcher: typeof fetch = async (input, init) =>
      String(input) === url ? new Response(png) : await fetch(input, init);
    const how = { inlineImages: true };
    stub.script(json(whole(text, 3)));
    const content = [{ type: 'image_url', image_url: { url } }];
    await remoteWith(how, { fetch: fetcher }).run(null, { messages: [{ role: 'user', content }] });
    expect(stub.seen[0]?.body).toContain(data);
  });

  it('of many bytes arrive whole', async () => {
    const bytes = Uint8Array.from({ length: 100_001 }, (_, i) => (i * 31) & 255);
    bytes.set([0xff, 0xd8, 0xff]);
    const { image_url } = (await sent({ type: 'image', image: bytes })) as {
      image_url: { url: string };
    };
    const [head, body = ''] = image_url.url.split(',');
    expect(head).toBe('data:image/jpeg;base64');
    expect(Buffer.from(body, 'base64').equals(bytes)).toBe(true);
  });

  it.each<[object, RegExp]>([
    [
      { type: 'image', image: 7 },
      /messages\[0\]\.content\[0\]: an image must be given as a URL or as bytes, got number/,
    ],
    [{ type: 'image_url', image_url: 'ftp://x/y' }, /has the scheme ftp:/],
    [{ type: 'image', image: new Uint8Array(0) }, /the image has 0 bytes/],
  ])('that are none are refused before anything is sent: %j', async (part, message) => {
    const error = await rejection(sent(part));
    expect(error).toMatchObject({ status: 400, param: 'messages[0].content[0]' });
    expect(error.message).toMatch(message);
    expect(stub.seen.length).toBe(0);
  });
});

describe('addresses, ids and keys', () => {
  it.each([
    ['', '/v1/chat/completions', '/tokenize'],
    ['/', '/v1/chat/completions', '/tokenize'],
    ['/v1', '/v1/chat/completions', '/tokenize'],
    ['/v1/', '/v1/chat/completions', '/tokenize'],
    ['/openai/v1/chat/completions', '/openai/v1/chat/completions', '/openai/tokenize'],
    ['/api/v3?version=2', '/api/v3/chat/completions?version=2', '/api/tokenize?version=2'],
  ])('%j', async (path, chat, tokenize) => {
    const ai = remoteWith({ url: stub.url + path, apiKey: 'K' });
    stub.script(json({ ...whole(text, 3), tokens: [1] }));
    await ai.run(null, { messages });
    await ai.tokenize('x');
    expect(stub.seen.map((one) => one.path)).toEqual([chat, tokenize]);
    expect(stub.seen.map((one) => one.headers.authorization)).toEqual(['Bearer K', 'Bearer K']);
  });

  it("asks for the endpoint's model instead of hosted services' ids, and for others as they are", async () => {
    stub.script(json(whole(text, 3)));
    const ai = remoteWith({ model: 'theirs' });
    for (const id of [null, 'qwen-qwen25-vl-3b-instruct-awq', 'my-lora'])
      expect((await ai.run(id, { messages })).model).toBe(id ?? 'served');
    expect(stub.seen.map((one) => one.json['model'])).toEqual(['theirs', 'theirs', 'my-lora']);
  });

  it.each<[AIOptions, string, RegExp]>([
    [{ engine: 'remote' }, 'missing_field', /engine "remote" needs remote: { url }/],
    [
      { engine: 'cloud' as 'remote' },
      'invalid_value',
      /engine must be one of "local", "remote", "auto", got "cloud"/,
    ],
    [
      { remote: { url: 'nowhere' } },
      'invalid_value',
      /remote\.url must be an http\(s\) URL, got "nowhere"/,
    ],
    [
      { remote: { url: 'ftp://x' } },
      'invalid_value',
      /remote\.url must be an http\(s\) URL, got "ftp:\/\/x"/,
    ],
    [
      { remote: { url: 'https://me:secret@x' } },
      'invalid_value',
      /must not hold a user or password/,
    ],
    [
      { remote: { url: 'https://x', retries: -1 } },
      'invalid_value',
      /remote\.retries must be an integer from 0 to 100, got -1/,
    ],
    [{ remote: { url: 'https://x', apiKey: 'a b' } }, 'invalid_value', /remote\.apiKey must be/],
  ])('refuses %j', (options, code, message) => {
    expect(() => createAI(options)).toThrow(message);
    expect(() => createAI(options)).toThrow(expect.objectContaining({ code, status: 400 }));
  });
});

describe('the rest of an AI', () => {
  it('tokenizes and back through the routes that vLLM has', async () => {
    const ai = remoteWith({ model: 'm' });
    stub.script(json({ count: 2, max_model_len: 9, tokens: [3, 4] }), json({ prompt: 'a b' }));
    expect(await ai.tokenize('a b')).toEqual([3, 4]);
    expect(await ai.detokenize([3, 4])).toBe('a b');
    expect(stub.seen.map(({ path, json: body }) => [path, body])).toEqual([
      ['/tokenize', { model: 'm', prompt: 'a b', add_special_tokens: false }],
      ['/detokenize', { model: 'm', tokens: [3, 4] }],
    ]);
  });

  it('tells what it knows of the model', async () => {
    const card = { id: 'served', object: 'model', max_model_len: 32768 };
    stub.script(json({ object: 'list', data: [{ id: 'other' }, card] }));
    const url = `${stub.url}/v1/chat/completions`;
    const like = { engine: 'remote', url, model: 'served', context: 32768, variant: null };
    expect(await remoteWith({ model: 'served' }).info()).toMatchObject(like);
    expect(await remoteWith().info()).toMatchObject({ model: 'other', context: null });
    stub.script(json({ detail: 'Not Found' }, 404));
    expect(await remoteWith().info()).toMatchObject({
      engine: 'remote',
      model: null,
      context: null,
    });
    stub.script(json({ error: 'Unauthorized' }, 401));
    expect(await rejection(remoteWith().info())).toMatchObject({ status: 401 });
  });

  it("tells the endpoint's metrics", async () => {
    const metrics = '# HELP x y\nvllm:num_requests_running{model_name="m"} 2\nup 1.5e3\n';
    stub.script(plain(metrics, 200, 'text/plain'));
    expect(await remoteWith().stats()).toEqual({
      'vllm:num_requests_running{model_name="m"}': 2,
      up: 1500,
    });
  });

  it('says which route is missing', async () => {
    const ai = remoteWith();
    stub.script(json({ detail: 'Not Found' }, 404));
    for (const [work, route] of [
      [() => ai.tokenize('x'), 'tokenize() needs POST /tokenize'],
      [() => ai.detokenize([1]), 'detokenize() needs POST /detokenize'],
      [() => ai.stats(), 'stats() needs GET /metrics'],
    ] as const) {
      const error = await rejection(work());
      expect(error).toMatchObject({ status: 501, code: 'unsupported_feature' });
      const message = `${route}, which the endpoint does not have (HTTP status 404)`;
      expect(error.message).toBe(message.replace(' /', ` ${stub.url}/`));
    }
    stub.script(
      json({ object: 'error', message: 'The model `m` does not exist.', code: 404 }, 404),
    );
    expect(await rejection(ai.tokenize('x'))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
    stub.script(json({ nothing: 1 }));
    expect(await rejection(ai.tokenize('x'))).toMatchObject({ code: 'invalid_response' });
  });

  it('refuses what cannot be asked of an endpoint', async () => {
    const ai = remoteWith();
    stub.script(json({}));
    for (const work of [
      ai.tokenize('x', { addedTokens: false }),
      ai.detokenize([1], { skipSpecial: true }),
      ai.run(null, { messages }, { dump: true }),
    ])
      expect(await rejection(work)).toMatchObject({ status: 400, code: 'unsupported_feature' });
    expect(stub.seen.length).toBe(0);
  });
});
