// Segmind's dialect: both auth headers, string errors, slug (the compatibility list's words).
import { describe, expect, it } from 'vitest';
import { slugs } from '../../worker/dialects/segmind.ts';
import { sha256Hex } from '../../worker/keys.ts';
import { textScript } from '../js/fake_core.ts';
import { fakeWorker, hello } from './fake_worker.ts';

const path = '/v1/qwen2p5-vl-3b-instruct';
const asked = {
  messages: [
    {
      role: 'user',
      content: [
        { type: 'text', text: "What's in this image?" },
        { type: 'image_url', image_url: { url: 'data:image/jpeg;base64,AAAA' } },
      ],
    },
  ],
};
const key = 'SG_0123456789abcdef';
const keyed = async (more: object = {}, options: object = {}) =>
  fakeWorker({ keys: [{ name: 'one', sha256: await sha256Hex(key), ...more }], ...options });

describe('Segmind: slug', () => {
  it.each(slugs)('%s answers with the documented keys and no other', async (slug) => {
    const reply = await fakeWorker().post(`/v1/${slug}`, { ...asked, model: 'anything' });
    expect(reply.status).toBe(200);
    const text = await reply.text();
    expect(text.replace(/chat_[0-9a-f]{24}/, 'ID').replace(/"created":\d+/, '"created":0')).toBe(
      `{"id":"ID","object":"chat.completion","created":0,"model":"${slug}","choices":[{"index":0,` +
        '"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],' +
        '"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}',
    );
  });

  it('that is not listed is 404, as a string for those who come as its clients do', async () => {
    const worker = fakeWorker();
    const theirs = await worker.post('/v1/flux-dev', asked, { headers: { 'x-api-key': key } });
    expect(theirs.status).toBe(404);
    expect(await theirs.json()).toEqual({ error: 'there is nothing at /v1/flux-dev' });
    const others = await worker.post('/v1/flux-dev', asked);
    expect(await others.json()).toMatchObject({ error: { type: 'NotFoundError' } });
  });

  it('streams when asked, as its format is OpenAI’s', async () => {
    const reply = await fakeWorker().post(path, { ...asked, stream: true });
    expect(reply.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await reply.text()).toMatch(/^data: \{.*data: \[DONE\]\n\n$/s);
  });
});

describe('Segmind: both auth headers', () => {
  it.each([
    ['x-api-key', { 'x-api-key': key }],
    ['Authorization', { authorization: `Bearer ${key}` }],
  ])('%s lets in', async (_, headers) => {
    const worker = await keyed();
    expect((await worker.post(path, asked, { headers })).status).toBe(200);
  });

  it('with a wrong key or none are 401', async () => {
    const worker = await keyed();
    const wrong = await worker.post(path, asked, { headers: { 'x-api-key': 'SG_1' } });
    expect([wrong.status, await wrong.json()]).toEqual([
      401,
      { error: 'the API key is not known' },
    ]);
    const none = await worker.post(path, asked);
    expect([none.status, await none.json()]).toEqual([
      401,
      { error: expect.stringMatching(/^an API key is needed/) as string },
    ]);
  });
});

describe('Segmind: string errors', () => {
  const headers = { 'x-api-key': key };

  it.each([
    ['no JSON', '{', {}, 400, /not JSON/],
    ['no object', '[]', {}, 400, /must be an object/],
    ['another type', '{}', { 'content-type': 'text/plain' }, 400, /Unsupported Media Type/],
  ])('%s is 400', async (_, body, more, status, message) => {
    const reply = await fakeWorker().post(path, body, { headers: more as Record<string, string> });
    expect(reply.status).toBe(status);
    expect(await reply.json()).toEqual({ error: expect.stringMatching(message) as string });
  });

  it('no credits is 406, and credits are told', async () => {
    const worker = await keyed({ credits: 20 });
    const first = await worker.post(path, asked, { headers });
    expect(first.headers.get('x-remaining-credits')).toBe('8');
    expect(first.headers.get('x-credits-charged')).toBe('12');
    await worker.post(path, asked, { headers });
    const last = await worker.post(path, asked, { headers });
    expect([last.status, await last.json()]).toEqual([
      406,
      { error: 'the API key has no credits left' },
    ]);
  });

  it('too many requests are 429, and the rate is told', async () => {
    const worker = await keyed({ requestsPerMinute: 1 }, { clock: () => 1_000_000 });
    const first = await worker.post(path, asked, { headers });
    const said = (name: string) => first.headers.get(`x-rate-limit-${name}`);
    expect(['limit', 'remaining', 'reset', 'reset-after', 'policy'].map(said)).toEqual([
      ...['1', '0', '1060', '60', '1;w=60'],
    ]);
    const second = await worker.post(path, asked, { headers });
    expect(second.status).toBe(429);
    expect(second.headers.get('retry-after')).toBe('60');
    expect(await second.json()).toEqual({
      error: 'the API key may send 1 requests a minute',
    });
  });

  it('a trap is 500, a deadline 504, a server that ends 502', async () => {
    const trap = await fakeWorker({}, () => ['trap']).post(path, asked);
    expect(trap.status).toBe(500);
    expect(await trap.json()).toEqual({ error: expect.stringMatching(/stopped/) as string });
    const forever = () => [textScript([])[0]!, 'forever' as const];
    const slow = await fakeWorker({ limits: { requestMs: 20 } }, forever).post(path, asked);
    expect([slow.status, await slow.json()]).toEqual([
      504,
      { error: 'the request took longer than 20 ms' },
    ]);
    const worker = fakeWorker();
    await worker.close();
    const ended = await worker.post(path, hello);
    expect([ended.status, await ended.json()]).toEqual([
      502,
      { error: 'the server is shutting down' },
    ]);
  });

  it('another method is 405 with a string', async () => {
    const reply = await fakeWorker().get(path);
    expect([reply.status, reply.headers.get('allow')]).toEqual([405, 'POST']);
    expect(await reply.json()).toEqual({ error: expect.stringMatching(/GET is not/) as string });
  });
});
