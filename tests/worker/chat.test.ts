// Chat completions over HTTP: the bytes are those of AI.run, errors have vLLM's body, statuses are right.
import { describe, expect, it } from 'vitest';
import { settled } from '../js/fake_ai.ts';
import { textScript } from '../js/fake_core.ts';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const ids = (text: string): string =>
  text.replace(/chatcmpl-[0-9a-f]{32}/g, 'ID').replace(/"created":\d+/g, '"created":0');

describe('a completion', () => {
  it.each([chat, '/chat/completions'])(
    'at %s has the keys of vLLM in their order',
    async (path) => {
      const reply = await fakeWorker().post(path, hello);
      expect(reply.status).toBe(200);
      expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
      expect(ids(await reply.text())).toBe(
        '{"id":"ID","object":"chat.completion","created":0,"model":"fake-model","choices":[{"index":0,' +
          '"message":{"role":"assistant","reasoning_content":null,"content":"Hello","tool_calls":[]},' +
          '"logprobs":null,"finish_reason":"stop","stop_reason":null}],' +
          '"usage":{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,"prompt_tokens_details":null},' +
          '"prompt_logprobs":null}',
      );
    },
  );

  it('streams: LF, one space, a finish_reason in every chunk, [DONE]', async () => {
    const reply = await fakeWorker().post(chat, { ...hello, stream: true });
    expect(reply.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const head = '"id":"ID","object":"chat.completion.chunk","created":0,"model":"fake-model"';
    const chunk = (delta: string, finish: string): string =>
      `data: {${head},"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]}\n\n`;
    expect(ids(await reply.text())).toBe(
      chunk('{"role":"assistant","content":""}', 'null') +
        chunk('{"content":"Hel"}', 'null') +
        chunk('{"content":"lo"}', 'null') +
        chunk('{"content":""}', '"stop","stop_reason":null') +
        'data: [DONE]\n\n',
    );
  });

  it('hands numbers on as they are spelled', async () => {
    const worker = fakeWorker();
    await worker.post(chat, '{"messages":[],"seed":9007199254740993,"temperature":1.0}');
    expect(worker.core.opened[0]).toContain('"seed":9007199254740993,"temperature":1.0');
  });

  it('echoes the model, and names itself after x-request-id', async () => {
    const model = 'qwen-qwen25-vl-3b-instruct-awq';
    const headers = { 'x-request-id': 'abc-1' };
    const reply = await fakeWorker().post(chat, { ...hello, model }, { headers });
    expect(reply.headers.get('x-request-id')).toBe('abc-1');
    expect(await reply.json()).toMatchObject({ id: 'chatcmpl-abc-1', model });
  });
});

describe('an error', () => {
  it.each([
    ['no JSON', chat, '{"messages":', 400, 'BadRequestError', /^the request is not JSON/],
    ['an array', chat, '[]', 400, 'BadRequestError', /must be an object with messages, got array/],
    ['null', chat, 'null', 400, 'BadRequestError', /must be an object with messages, got null/],
    [
      'a model that is no text',
      chat,
      '{"model":1}',
      400,
      'BadRequestError',
      /model must be a string/,
    ],
    [
      'an unknown model',
      chat,
      '{"model":"x"}',
      404,
      'NotFoundError',
      /^The model `x` does not exist/,
    ],
    ['an unknown path', '/v1/nothing', '{}', 404, 'NotFoundError', /nothing at \/v1\/nothing/],
    ['a method', '/v1/models', '{}', 405, 'BadRequestError', /POST is not allowed here: GET/],
  ])('for %s has the body of either vLLM', async (_, path, body, status, type, message) => {
    const reply = await fakeWorker().post(path, body);
    expect(reply.status).toBe(status);
    const said = (await reply.json()) as Record<string, unknown>;
    expect(said).toMatchObject({ object: 'error', type, code: status });
    expect(said['message']).toMatch(message);
    const { message: text, param, type: kind, code } = said;
    expect(said['error']).toEqual({ message: text, param, type: kind, code });
    expect(reply.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/);
  });

  it('for a type that is not JSON is 415, for a wrong method 405 with allow, with the details of FastAPI', async () => {
    const worker = fakeWorker();
    const typed = await worker.post(chat, '{}', { headers: { 'content-type': 'text/plain' } });
    expect(typed.status).toBe(415);
    const detail = "Unsupported Media Type: Only 'application/json' is allowed";
    expect(await typed.json()).toMatchObject({ detail, message: detail });
    const wrong = await worker.get(chat);
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await wrong.json()).toMatchObject({ detail: 'Method Not Allowed' });
    expect(await (await worker.get('/nothing')).json()).toMatchObject({ detail: 'Not Found' });
  });

  it('for a body that is too large is 413, told or found out', async () => {
    const worker = fakeWorker({ limits: { bodyBytesMax: 100 } });
    const told = await worker.post(chat, 'x'.repeat(101));
    expect(told.status).toBe(413);
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(64).fill(32)),
    });
    const found = await worker.fetch(
      new Request(`http://host${chat}`, {
        method: 'POST',
        body,
        duplex: 'half',
        headers: { 'content-type': 'application/json' },
      } as RequestInit),
    );
    expect(found.status).toBe(413);
    expect(await found.json()).toMatchObject({
      error: { message: expect.stringMatching(/larger than 100 bytes/) as string },
    });
  });

  it('for more images than allowed is 400', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
    const worker = fakeWorker({ limits: { imagesMax: 1 } });
    const reply = await worker.post(chat, {
      messages: [{ role: 'user', content: [image, image] }],
    });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({
      message: 'At most 1 image(s) may be provided in one request, got 2.',
    });
  });

  it('of the core that comes before the first token is no stream', async () => {
    const script = () => [
      [
        {
          type: 'error',
          status: 104,
          code: 'context_length_exceeded',
          http: 400,
          message: 'too long',
          param: 'messages',
        } as const,
      ],
    ];
    const reply = await fakeWorker({}, script).post(chat, { ...hello, stream: true });
    expect(reply.status).toBe(400);
    expect(await reply.json()).toMatchObject({ message: 'too long', param: 'messages' });
  });

  it('inside a stream is an event of it', async () => {
    const [prompt = [], delta = []] = textScript(['Hel']);
    const script = () => [prompt, delta, 'trap' as const];
    const reply = await fakeWorker({}, script).post(chat, { ...hello, stream: true });
    expect(reply.status).toBe(200);
    expect(await reply.text()).toMatch(
      /data: {"error":{"message":"the engine stopped: unreachable","type":"InternalServerError","param":null,"code":500}}\n\ndata: \[DONE\]\n\n$/,
    );
  });

  it('that is a bug of the server says nothing of it', async () => {
    const worker = fakeWorker();
    const failing = (): Promise<never> => Promise.reject(new TypeError('secret'));
    Object.assign(worker.context.ai, { run: failing });
    const reply = await worker.post(chat, hello);
    expect(reply.status).toBe(500);
    expect(await reply.text()).not.toContain('secret');
  });
});

describe('a client that leaves', () => {
  const [prompt = [], delta = []] = textScript(['Hel']);
  const forever = () => [prompt, delta, 'forever' as const];

  it('a stream ends its generation', async () => {
    const worker = fakeWorker({}, forever);
    const reply = await worker.post(chat, { ...hello, stream: true });
    const reader = reply.body!.getReader();
    await reader.read();
    expect(worker.context.queue.running).toBe(1);
    await reader.cancel();
    await worker.context.queue.idle();
    expect(worker.core.cancels).toBe(1);
    expect(worker.core.requests.size).toBe(0);
    expect(worker.records).toMatchObject([{ status: 200, stream: true, finish_reason: 'abort' }]);
  });

  it('before its answer ends its generation', async () => {
    const worker = fakeWorker({}, forever);
    const client = new AbortController();
    const asked = worker.post(chat, hello, { signal: client.signal });
    while (worker.core.steps < 3) await settled();
    client.abort();
    expect((await asked).status).toBe(499);
    while (worker.core.requests.size > 0) await settled();
    expect(worker.core.cancels).toBe(1);
  });
});
