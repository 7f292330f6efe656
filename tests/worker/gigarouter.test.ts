// gigarouter's dialect: chat completions for keys that start with gr-, errors with a code, a message and when to retry.
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../worker/keys.ts';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const key = 'gr-0123456789abcdef';
const headers = { authorization: `Bearer ${key}` };
const keyed = async (more: object = {}) =>
  fakeWorker({ keys: [{ name: 'one', sha256: await sha256Hex(key), ...more }] });

describe('gigarouter', () => {
  it('answers as OpenAI does, to its own name of the model', async () => {
    const model = 'Qwen/Qwen2.5-VL-3B-Instruct';
    const reply = await (await keyed()).post(chat, { ...hello, model }, { headers });
    expect(reply.status).toBe(200);
    expect(await reply.json()).toMatchObject({ object: 'chat.completion', model });
  });

  it('says 401 for an unknown key', async () => {
    const other = { authorization: 'Bearer gr-other' };
    const reply = await (await keyed()).post(chat, hello, { headers: other });
    expect([reply.status, await reply.json()]).toEqual([
      401,
      { error: { code: 'invalid_api_key', message: 'the API key is not known' } },
    ]);
  });

  it('says 402 when credit is out', async () => {
    const reply = await (await keyed({ credits: 0 })).post(chat, hello, { headers });
    expect([reply.status, await reply.json()]).toEqual([
      402,
      { error: { code: 'insufficient_credits', message: 'the API key has no credits left' } },
    ]);
  });

  it('says 404 for a model that is not served', async () => {
    const body = { ...hello, model: 'other/model' };
    const reply = await (await keyed()).post(chat, body, { headers });
    expect([reply.status, await reply.json()]).toEqual([
      404,
      {
        error: { code: 'model_not_found', message: 'The model `other/model` does not exist.' },
      },
    ]);
  });

  it('says 429 and when to come back', async () => {
    const worker = await keyed({ requestsPerMinute: 1 });
    await worker.post(chat, hello, { headers });
    const reply = await worker.post(chat, hello, { headers });
    expect([reply.status, await reply.json()]).toEqual([
      429,
      {
        error: {
          code: 'rate_limit_exceeded',
          message: 'the API key may send 1 requests a minute',
          retry_after_s: Number(reply.headers.get('retry-after')),
        },
      },
    ]);
  });

  it('is known by its keys alone: others read vLLM’s errors', async () => {
    const reply = await (await keyed()).post(chat, hello);
    expect(reply.status).toBe(401);
    expect(await reply.json()).toMatchObject({ object: 'error', error: { code: 401 } });
  });
});
