// Who may call, and how much: keys, rates, credits, the queue, deadlines, the drain, CORS, and what the log says of it.
import { describe, expect, it } from 'vitest';
import { createKeyRing, newKey, sha256Hex } from '../../worker/keys.ts';
import { createQueue } from '../../worker/queue.ts';
import { parseKeys } from '../../worker/schemas.ts';
import { rejection, settled } from '../js/fake_ai.ts';
import { textScript } from '../js/fake_core.ts';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const [prompt = [], delta = []] = textScript(['Hel']);
const forever = () => [prompt, delta, 'forever' as const];
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });

describe('keys', () => {
  it('are needed under /v1 where there are any; health, version and metrics are open', async () => {
    const worker = fakeWorker({ keys: [{ name: 'ann', sha256: await sha256Hex('sk-1') }] });
    for (const more of [{}, bearer('sk-2'), { headers: { authorization: 'Basic sk-1' } }]) {
      const reply = await worker.post(chat, hello, more);
      expect(reply.status).toBe(401);
      expect(reply.headers.get('www-authenticate')).toBe('Bearer');
      expect(await reply.json()).toMatchObject({
        error: { type: 'AuthenticationError', code: 401 },
      });
    }
    expect((await worker.get('/v1/models')).status).toBe(401);
    expect((await worker.post('/tokenize', { prompt: 'a' })).status).toBe(401);
    for (const path of ['/health', '/ping', '/version', '/load', '/metrics'])
      expect((await worker.get(path)).status, path).toBe(200);
    for (const authorization of ['Bearer sk-1', 'Token sk-1']) {
      const reply = await worker.post(chat, hello, { headers: { authorization } });
      expect(reply.status, authorization).toBe(200);
    }
    expect(worker.records.at(-1)).toMatchObject({ caller: 'ann', status: 200 });
    expect(JSON.stringify(worker.records)).not.toMatch(/sk-/);
  });

  it('are checked before the body is', async () => {
    const worker = fakeWorker({ keys: [{ name: 'ann', sha256: await sha256Hex('sk-1') }] });
    expect((await worker.post(chat, 'no JSON')).status).toBe(401);
  });

  it('are random, and kept as hashes only', async () => {
    const key = newKey();
    expect(key).toMatch(/^sk-ocelli-[0-9a-f]{48}$/);
    expect(newKey()).not.toBe(key);
    const ring = createKeyRing([{ name: 'a', sha256: await sha256Hex(key) }], Date.now);
    expect((await ring.callerOf(key)).name).toBe('a');
    expect(JSON.stringify(ring)).not.toContain(key);
  });

  it.each([
    [{ name: 'a' }, /must be an array|expected array/],
    [[{ name: 'a', sha256: 'xyz' }], /0.sha256: must be 64 hexadecimal digits/],
    [[{ name: 'a', sha256: 'a'.repeat(64), credit: 3 }], /credit/],
  ])('of a file that is wrong are refused: %j', (value, message) => {
    expect(() => parseKeys(value)).toThrow(message);
  });
});

describe('a rate', () => {
  it('holds for any minute and says when to come back', async () => {
    let now = 1_000_000;
    const sha256 = await sha256Hex('k');
    const keys = [{ name: 'a', sha256, requestsPerMinute: 2 }];
    const worker = fakeWorker({ keys, clock: () => now });
    const ask = () => worker.post(chat, hello, bearer('k'));
    expect((await ask()).headers.get('x-ratelimit-remaining-requests')).toBe('1');
    now += 20_000;
    expect((await ask()).status).toBe(200);
    now += 10_000;
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).toBe('30');
    expect(await refused.json()).toMatchObject({ error: { type: 'RateLimitError' } });
    now += 30_000;
    expect((await ask()).status).toBe(200);
    expect((await ask()).status).toBe(429);
  });
});

describe('credits', () => {
  it('are taken by tokens; none left is 402', async () => {
    const keys = [{ name: 'a', sha256: await sha256Hex('k'), credits: 20 }];
    const worker = fakeWorker({ keys });
    const ask = () => worker.post(chat, hello, bearer('k'));
    expect((await ask()).status).toBe(200); // 9 + 3 tokens
    expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect(refused.status).toBe(402);
    expect(await refused.json()).toMatchObject({ message: 'the API key has no credits left' });
  });
});

describe('the queue', () => {
  it('refuses one more than it holds, with the time to come back', async () => {
    const worker = fakeWorker({ limits: { runningMax: 1, waitingMax: 1 } }, forever);
    const [one, two] = [new AbortController(), new AbortController()];
    const first = worker.post(chat, hello, { signal: one.signal });
    while (worker.context.queue.running < 1) await settled();
    const second = worker.post(chat, hello, { signal: two.signal });
    while (worker.context.queue.waiting < 1) await settled();
    const third = await worker.post(chat, hello);
    expect(third.status).toBe(429);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await (await worker.get('/load')).json()).toEqual({ server_load: 2 });
    one.abort();
    await first;
    while (worker.context.queue.waiting > 0) await settled();
    two.abort();
    expect((await second).status).toBe(499);
    await worker.context.queue.idle();
    expect(worker.context.queue.running).toBe(0);
  });

  it('lets go of one that leaves while it waits', async () => {
    const queue = createQueue({ runningMax: 1, waitingMax: 5 }, Date.now);
    const never = new AbortController().signal;
    const leave = await queue.enter(never);
    const gone = new AbortController();
    const waits = queue.enter(gone.signal);
    const next = queue.enter(never);
    gone.abort(new Error('gone'));
    await expect(waits).rejects.toThrow('gone');
    leave();
    leave();
    (await next)();
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });
});

describe('a deadline', () => {
  it('ends a request that has not begun to answer with 504', async () => {
    const worker = fakeWorker({ limits: { requestMs: 20 } }, forever);
    const reply = await worker.post(chat, hello);
    expect(reply.status).toBe(504);
    expect(await reply.json()).toMatchObject({ message: 'the request took longer than 20 ms' });
    while (worker.core.requests.size > 0) await settled();
  });

  it('ends a stream with an error inside it', async () => {
    const worker = fakeWorker({ limits: { requestMs: 500 } }, forever);
    const reply = await worker.post(chat, { ...hello, stream: true });
    const text = await reply.text();
    expect(text).toMatch(
      /data: {"error":{"message":"the request took longer than 500 ms".*\n\ndata: \[DONE\]\n\n$/,
    );
  });
});

describe('a reader that stalls', () => {
  it('ends its generation', async () => {
    const worker = fakeWorker({ limits: { stallMs: 20 } }, forever);
    const reply = await worker.post(chat, { ...hello, stream: true });
    const reader = reply.body!.getReader();
    await reader.read();
    await worker.context.queue.idle();
    await expect(reader.read().then(() => reader.closed)).rejects.toThrow(/took nothing for 20 ms/);
    expect(worker.core.requests.size).toBe(0);
  });
});

describe('a drain', () => {
  it('lets what runs finish, refuses what comes', async () => {
    const [one = [], two = [], three = []] = textScript(['Hel']);
    const worker = fakeWorker({}, () => [one, two, ...Array<never[]>(50).fill([]), three]);
    const reply = await worker.post(chat, { ...hello, stream: true });
    const drained = worker.drain(60_000);
    const late = await worker.post(chat, hello);
    expect([late.status, late.headers.get('retry-after')]).toEqual([503, '1']);
    expect((await worker.get('/health')).status).toBe(503);
    expect(await reply.text()).toMatch(/"finish_reason":"stop".*\n\ndata: \[DONE\]\n\n$/);
    await drained;
  });

  it('ends what still runs after the grace time', async () => {
    const worker = fakeWorker({}, forever);
    const reply = await worker.post(chat, { ...hello, stream: true });
    const text = reply.text();
    await worker.drain(10);
    expect(await text).toMatch(/the server is shutting down.*\n\ndata: \[DONE\]\n\n$/);
    expect(worker.context.queue.running).toBe(0);
  });
});

describe('browsers', () => {
  it('may call from anywhere, or from where they are told', async () => {
    const ask = (worker: ReturnType<typeof fakeWorker>, origin: string) =>
      worker.fetch(
        new Request(`http://host${chat}`, {
          method: 'OPTIONS',
          headers: {
            origin,
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'authorization,x-stainless-lang',
          },
        }),
      );
    const open = await ask(fakeWorker(), 'https://a.example');
    expect(open.status).toBe(204);
    expect(open.headers.get('access-control-allow-origin')).toBe('*');
    expect(open.headers.get('access-control-allow-headers')).toMatch(/x-stainless-lang/);
    const some = fakeWorker({ origins: ['https://a.example'] });
    expect((await ask(some, 'https://a.example')).headers.get('access-control-allow-origin')).toBe(
      'https://a.example',
    );
    expect(
      (await ask(some, 'https://b.example')).headers.get('access-control-allow-origin'),
    ).toBeNull();
  });

  it('can read errors too', async () => {
    const reply = await fakeWorker().post(chat, 'x', { headers: { origin: 'https://a.example' } });
    expect([reply.status, reply.headers.get('access-control-allow-origin')]).toEqual([400, '*']);
  });

  it('can read the headers of each dialect', async () => {
    const key = 'SG_k';
    const entry = { name: 'k', sha256: await sha256Hex(key), requestsPerMinute: 9, credits: 99 };
    const worker = fakeWorker({ keys: [entry] });
    const headers = { origin: 'https://a.example', authorization: `Bearer ${key}` };
    for (const path of [chat, '/v1/qwen2p5-vl-3b-instruct']) {
      const reply = await worker.post(path, hello, { headers });
      const shown = (reply.headers.get('access-control-expose-headers') ?? '').split(/,\s*/);
      const ours = [...reply.headers.keys()].filter((name) => name.startsWith('x-'));
      expect(ours.length).toBeGreaterThan(2);
      expect(shown).toEqual(expect.arrayContaining(ours));
    }
  });
});

describe('the log', () => {
  it('has counts and times, and nothing of what was said', async () => {
    const worker = fakeWorker();
    await worker.post(`${chat}?api_key=sk-9`, {
      messages: [{ role: 'user', content: 'my secret' }],
    });
    expect(worker.records).toHaveLength(1);
    expect(worker.records[0]).toMatchObject({
      ...{ method: 'POST', path: chat, status: 200, caller: 'anyone', stream: false },
      ...{ prompt_tokens: 9, completion_tokens: 3, finish_reason: 'stop' },
    });
    expect(JSON.stringify(worker.records)).not.toMatch(/secret|Hello|sk-9/);
  });

  it('names what went wrong', async () => {
    const worker = fakeWorker();
    await worker.post(chat, '{"model":"x"}');
    expect(worker.records[0]).toMatchObject({ status: 404, error: 'model_not_found', model: 'x' });
    expect((await rejection(worker.context.ai.run('x', hello))).code).toBe('model_not_found');
  });
});
