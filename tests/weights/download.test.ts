// Downloads over a network that fails in every way, into a real folder. Surprise: models are random bytes, since nothing
// here looks inside a shard.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readdirSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { readyOptions } from '../../js/weights/download_options.ts';
import { ask } from '../../js/weights/download_request.ts';
import { Failure } from '../../js/weights/download_retry.ts';
import type { LoadProgress } from '../../js/weights/progress.ts';
import { pull } from '../../js/weights/pull.ts';
import { sourceFrom } from '../../js/weights/source.ts';
import { rejection } from '../js/fake_ai.ts';
import { type Fault, randomShards, sha256 } from './faulty_server.ts';
import { impatient, pulling, quick, serving, sizeOf, temporary, verifiedIn } from './fixtures.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const kib = 1024;
/** What fetch() may throw away of what has arrived when a connection breaks: what lies in its buffers. */
const lossMax = 80 * kib;
const startOf = (range: string | null): number =>
  range === null ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
const isShard = (file: string): boolean => file.endsWith('.safetensors');

it('closed while it hands out shards, a source leaves no locks, and none waits for another', async () => {
  const model = randomShards([100, 200]);
  const server = await serving(model);
  const directory = temporary();
  const options = { cache: { directory } };
  const first = sourceFrom(server.url, fetch, options);
  await first.manifest();
  const held = await first.open!(1, model.info.shards[1]!);
  const source = sourceFrom(server.url, fetch, options);
  await source.manifest();
  const [given, refused] = model.info.shards.map((info, index) => source.open!(index, info));
  const ended = Promise.allSettled([given, refused]);
  await source.close!();
  expect((await ended).map(({ status }) => status)).toContain('rejected');
  await expect(source.open!(0, model.info.shards[0]!)).rejects.toThrow(/is closed$/);
  await held.close();
  await first.close!();
  expect(readdirSync(directory).filter((name) => name.endsWith('.lock'))).toEqual([]);
});

it('a time-out that comes late, as in a page that was frozen, does not end a transfer whose bytes are there', async () => {
  const model = randomShards([100]);
  let asked = 0;
  /** Bytes that come after the time-out's moment, while nothing in this thread can run. */
  const frozen = (bytes: Uint8Array): ReadableStream<Uint8Array> =>
    new ReadableStream(
      {
        pull(controller) {
          setTimeout(() => {
            controller.enqueue(bytes);
            controller.close();
          }, 400);
          queueMicrotask(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1600));
        },
      },
      { highWaterMark: 0 },
    );
  const fetcher = async (url: string | URL | Request): Promise<Response> => {
    const file = String(url).split('/').at(-1) ?? '';
    const bytes = model.files.get(file) as Uint8Array;
    if (isShard(file)) asked++;
    return new Response(isShard(file) ? frozen(bytes) : (bytes as BodyInit));
  };
  const options = { cache: 'none', stallMs: 200, attempts: 1 } as const;
  const source = sourceFrom('http://model.test/', fetcher as typeof fetch, options);
  await source.manifest();
  const [info] = model.info.shards;
  const reader = await source.open!(0, info!);
  const into = new Uint8Array(200);
  expect(await reader.read(into)).toBe(100);
  expect(asked).toBe(1);
  await reader.close();
});

describe('a download', () => {
  it('fetches each shard once, and nothing the second time but the word that nothing changed', async () => {
    const model = randomShards([300 * kib, 5, 700 * kib]);
    const server = await serving(model);
    const folder = temporary();
    const first = await pulling(server, folder);
    expect(first).toMatchObject({ name: 'random', shards: 3, where: folder });
    expect([first.bytes, first.fetched]).toEqual([sizeOf(model), sizeOf(model)]);
    expect(verifiedIn(folder)).toHaveLength(3);
    expect(readdirSync(folder).filter((name) => /partial|from|lock|tmp/.test(name))).toEqual([]);
    server.requests.length = 0;
    const second = await pulling(server, folder);
    expect(second.fetched).toBe(0);
    expect(server.requests.map(({ file }) => file)).toEqual(['manifest.json']);
    expect(server.requests[0]?.headers['if-none-match']).toBeTruthy();
  });

  it('asks nobody where the manifest is pinned and all is there', async () => {
    const model = randomShards([100]);
    const server = await serving(model);
    const folder = temporary();
    const manifestSha256 = sha256(model.manifest);
    await pulling(server, folder, { manifestSha256 });
    server.requests.length = 0;
    await pulling(server, folder, { manifestSha256: manifestSha256.toUpperCase() });
    expect(server.requests).toEqual([]);
  });

  it('works without a network once it is there', async () => {
    const server = await serving(randomShards([100]));
    const folder = temporary();
    await pulling(server, folder);
    await server.close();
    expect((await pulling(server, folder)).fetched).toBe(0);
  });

  it('follows a manifest that changes, and fetches only what is new', async () => {
    const old = randomShards([1000, 2000]);
    const server = await serving(old);
    const folder = temporary();
    await pulling(server, folder);
    const more = randomShards([3000]);
    const shards = [old.info.shards[0]!, { ...more.info.shards[0]!, holds: ['layer.0'] }];
    const manifest = new TextEncoder().encode(JSON.stringify({ ...old.info, shards }));
    for (const [name, bytes] of more.files) server.files.set(name, bytes);
    server.files.set('manifest.json', manifest);
    expect((await pulling(server, folder)).fetched).toBe(3000);
  });

  it('keeps to its number of transfers at a time', async () => {
    const server = await serving(randomShards(Array(12).fill(20 * kib)));
    for (const [parallel, expected] of [
      [undefined, 6],
      [2, 2],
    ] as const) {
      let most = 0;
      let now = 0;
      let allThere = (): void => undefined;
      const meeting = new Promise<void>((resolve) => (allThere = resolve));
      // Each waits until as many are there as are expected; fewer would wait for ever.
      const counting: typeof fetch = async (input, init) => {
        if (!isShard(String(input))) return await fetch(input, init);
        most = Math.max(most, ++now);
        if (now === expected) allThere();
        try {
          await meeting;
          const response = await fetch(input, init);
          return new Response(await response.arrayBuffer(), response);
        } finally {
          now--;
        }
      };
      const how = { fetch: counting, ...(parallel && { parallel }) };
      await pulling(server, temporary(), how);
      expect(most).toBe(expected);
    }
  });

  it('tells how far it is, how fast, how long it takes and which layers are there', async () => {
    const model = randomShards([50 * kib, 50 * kib, 50 * kib, 50 * kib]);
    const server = await serving(model);
    server.fault = ({ file }) => (isShard(file) ? { throttle: 400 * kib } : null);
    const seen: { bytes: number; total: number; more: LoadProgress }[] = [];
    const onProgress = (bytes: number, total: number, more: LoadProgress) =>
      void seen.push({ bytes, total, more });
    await pulling(server, temporary(), { onProgress, parallel: 1 });
    const last = seen.at(-1);
    expect(last).toMatchObject({ bytes: sizeOf(model), total: sizeOf(model) });
    expect(last?.more).toMatchObject({
      fetched: sizeOf(model),
      shards: 4,
      totalShards: 4,
      ready: { tokenizer: true, vision: true, embedding: true, layers: 3, totalLayers: 3 },
    });
    const half = seen.find(({ more }) => more.shards === 2);
    expect(half?.more.ready).toMatchObject({ tokenizer: true, layers: 1 });
    expect(half?.more.bytesPerSecond).toBeGreaterThan(100 * kib);
    expect(half?.more.bytesPerSecond).toBeLessThan(1000 * kib);
    expect(half?.more.secondsLeft).toBeGreaterThan(0.05);
    for (let i = 1; i < seen.length; i++)
      expect(seen[i]!.bytes).toBeGreaterThanOrEqual(seen[i - 1]!.bytes);
  });

  it('sends the headers of its caller with every request, and shows no secrets', async () => {
    const server = await serving(randomShards([100, 100]));
    const headers = async (url: string) => ({
      authorization: `Bearer of ${new URL(url).pathname}`,
    });
    await pull(`${server.url}?key=secret`, { cache: { directory: temporary() }, headers });
    for (const { headers: sent, path } of server.requests)
      expect(sent.authorization).toBe(`Bearer of ${path}`);
    server.fault = ({ file }) => (isShard(file) ? { status: 403 } : null);
    const error = await rejection(
      pull(`${server.url}?key=secret`, { cache: { directory: temporary() }, ...quick }),
    );
    expect(error.code).toBe('access_denied');
    expect(error.message).not.toContain('secret');
  });
});

describe('a broken transfer', () => {
  it('goes on where it broke', async () => {
    const model = randomShards([1000 * kib]);
    const server = await serving(model);
    server.fault = ({ file, nth }) => (isShard(file) && nth < 3 ? { cutAfter: 200 * kib } : null);
    const { fetched } = await pulling(server, temporary());
    const etag = `"${sha256(model.shards[0]!).slice(0, 16)}"`;
    const later = server.shardRequests().slice(1);
    expect(later).toHaveLength(3);
    let before = 0;
    for (const { range } of later) {
      const at = startOf(range);
      expect(at).toBeGreaterThan(before + 200 * kib - lossMax);
      expect(at).toBeLessThanOrEqual(before + 200 * kib);
      before = at;
    }
    expect(later.map(({ headers }) => headers['if-range'])).toEqual([etag, etag, etag]);
    expect(fetched).toBe(1000 * kib);
    expect(server.sent).toBeLessThan(1000 * kib + model.manifest.length + 3 * lossMax);
  });

  it.each([
    ['a stall', { stallAfter: 1000 }],
    ['an end before the end', { endAfter: 1000 }],
    ['status 500', { status: 500 }],
    ['status 503 and Retry-After', { status: 503, headers: { 'retry-after': '0' } }],
    ['status 429', { status: 429 }],
    ['status 408', { status: 408 }],
    ['a range that begins later', { shiftRange: 10 }],
    ['a range that begins earlier', { shiftRange: -10, cutAfter: 500 }],
  ] as [string, Fault][])('is mended after %s', async (_, fault) => {
    const model = randomShards([30 * kib]);
    const server = await serving(model);
    server.fault = ({ file, nth }) => {
      if (!isShard(file)) return null;
      return nth === 0 ? { cutAfter: 10 * kib } : nth < 3 ? fault : null;
    };
    const folder = temporary();
    await pulling(server, folder, 'stallAfter' in fault ? impatient : {});
    expect(verifiedIn(folder)).toHaveLength(1);
  });

  it.each([
    ['a server that knows no ranges', {}],
    ['one that has no etags either', { etag: null }],
  ] as [string, Fault][])('is mended by %s', async (_, fault) => {
    const model = randomShards([300 * kib]);
    const server = await serving(model);
    server.fault = ({ file, nth }) => {
      if (!isShard(file)) return null;
      return { ...fault, ignoreRange: true, ...(nth === 0 && { cutAfter: 100 * kib }) };
    };
    const folder = temporary();
    const { fetched } = await pulling(server, folder);
    expect(fetched).toBeGreaterThan(400 * kib - lossMax);
    expect(fetched).toBeLessThanOrEqual(400 * kib);
    expect(verifiedIn(folder)).toHaveLength(1);
  });

  it('begins anew when the file has changed', async () => {
    const model = randomShards([300 * kib]);
    const server = await serving(model);
    server.fault = ({ file, nth }) => {
      if (!isShard(file)) return null;
      return nth === 0 ? { cutAfter: 100 * kib, etag: '"older"', damageAt: 7 } : null;
    };
    const folder = temporary();
    await pulling(server, folder);
    expect(verifiedIn(folder)).toHaveLength(1);
    expect(server.shardRequests().map(({ headers }) => headers['if-range'] ?? null)).toEqual([
      null,
      '"older"',
      null,
    ]);
  });

  it('waits as long as the server asks', async () => {
    const server = await serving(randomShards([100]));
    server.fault = ({ file, nth }) =>
      isShard(file) && nth === 0 ? { status: 429, headers: { 'retry-after': '1' } } : null;
    const start = performance.now();
    await pulling(server, temporary());
    expect(performance.now() - start).toBeGreaterThan(990);
  });

  it('takes no more than its length', async () => {
    const server = await serving(randomShards([5000]));
    server.fault = ({ file }) =>
      isShard(file) ? { extra: 100, endAfter: 5100, headers: {} } : null;
    const folder = temporary();
    await pulling(server, folder);
    expect(verifiedIn(folder)).toHaveLength(1);
  });
});

describe('what cannot be had', () => {
  const ways: [string, Fault, string, RegExp, number][] = [
    ['404', { status: 404 }, 'file_not_found', /does not have it, HTTP status 404/, 1],
    ['410', { status: 410 }, 'file_not_found', /HTTP status 410/, 1],
    ['403', { status: 403 }, 'access_denied', /refuses it with HTTP status 403; expected 200/, 1],
    ['401', { status: 401 }, 'access_denied', /HTTP status 401/, 1],
    ['400', { status: 400 }, 'download_failed', /HTTP status 400; expected/, 1],
    ['500 again and again', { status: 500 }, 'download_failed', /HTTP status 500.*6 attempts/, 6],
    [
      'cuts again and again',
      { cutAfter: 0 },
      'download_failed',
      /(cannot be fetched|ended after byte).*6 attempts/,
      6,
    ],
    ['silence', { stallAfter: 0 }, 'download_stalled', /nothing came from http.* for 0.3 s/, 6],
    [
      'a web page',
      { headers: { 'content-type': 'text/html; charset=utf-8' } },
      'invalid_shard',
      /sent a web page \(text\/html/,
      1,
    ],
    [
      'more bytes',
      { extra: 3 },
      'invalid_shard',
      /has 2051 bytes at .*, the manifest says 2048/,
      1,
    ],
    [
      'another length in the range',
      { status: 206, headers: { 'content-range': 'bytes 0-9/10' } },
      'invalid_shard',
      /has 10 bytes at .*, the manifest says 2048/,
      1,
    ],
    [
      'another length that the range is beyond',
      { status: 416, headers: { 'content-range': 'bytes */10' } },
      'invalid_shard',
      /has 10 bytes/,
      1,
    ],
    ['416 without a range', { status: 416 }, 'download_failed', /HTTP status 416/, 2],
    [
      'other bytes',
      { damageAt: 1000 },
      'shard_hash_mismatch',
      /has the sha256 [0-9a-f]{64}, the manifest says [0-9a-f]{64}/,
      3,
    ],
    [
      'a wait of an hour',
      { status: 503, headers: { 'retry-after': '3600' } },
      'download_failed',
      /asks to wait 3600 s/,
      1,
    ],
  ];
  it.each(ways)('is told: %s', async (_, fault, code, message, requests) => {
    const model = randomShards([2 * kib]);
    const server = await serving(model);
    server.fault = ({ file }) => (isShard(file) ? fault : null);
    const folder = temporary();
    const how = 'stallAfter' in fault ? impatient : {};
    const error = await rejection(pulling(server, folder, how));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(model.info.shards[0]!.sha256);
    expect(error.param).toBe(`${model.info.shards[0]!.sha256}.safetensors`);
    expect(server.shardRequests()).toHaveLength(requests);
    // The next time it is there after all.
    server.fault = () => null;
    await pulling(server, folder);
    expect(verifiedIn(folder)).toHaveLength(1);
  });

  it('is told after half a minute: silence, before an answer and in the middle of one', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const silent = new Response(
      new ReadableStream({ start: (one) => one.enqueue(new Uint8Array(1)) }),
    );
    for (const fetcher of [() => new Promise(() => undefined), async () => silent]) {
      const network = {
        mirrors: [new URL('http://x/')],
        fetch: fetcher as typeof fetch,
        options: readyOptions({}),
        first: 0,
        requests: 0,
        ownCache: false,
      };
      const wanted = { file: 'a', mirror: 0, from: 0, bytes: 10, origin: null, range: true };
      let ended: unknown = null;
      const reading = async (): Promise<void> => {
        const answer = await ask(network, wanted, undefined);
        while (await answer.next());
      };
      void reading().catch((error: unknown) => (ended = error));
      await vi.advanceTimersByTimeAsync(29_999);
      expect(ended).toBe(null);
      await vi.advanceTimersByTimeAsync(1);
      expect(ended).toBeInstanceOf(Failure);
      expect((ended as Failure).error).toMatchObject({ code: 'download_stalled', status: 504 });
      expect((ended as Failure).message).toBe('a: nothing came from http://x/a for 30 s');
    }
  });

  it.each(['ENOSPC', 'EDQUOT', 'EFBIG'])(
    'is told: no room on the disk any more, %s, and the rest goes on later',
    async (code) => {
      const file = await open(import.meta.filename);
      const handles = Object.getPrototypeOf(file) as FileHandle;
      await file.close();
      const model = randomShards([50 * kib, 50 * kib, 50 * kib]);
      const server = await serving(model);
      const folder = temporary();
      const write = handles.write as (...given: unknown[]) => Promise<unknown>;
      let room = 80 * kib;
      const full = async function (this: FileHandle, ...given: unknown[]): Promise<unknown> {
        room -= given[2] as number;
        if (room < 0) throw Object.assign(new Error(`${code}: no room, write`), { code });
        return await write.apply(this, given);
      };
      vi.spyOn(handles, 'write').mockImplementation(full as FileHandle['write']);
      const error = await rejection(pulling(server, folder, { parallel: 1 }));
      expect(error).toMatchObject({ code: 'cache_full', status: 507 });
      expect(error.message).toMatch(
        /^the cache \/.* has no room for \d+ bytes of [0-9a-f]{64}\.partial: E/,
      );
      expect(error.message).toContain(folder);
      expect(verifiedIn(folder)).toHaveLength(1);
      vi.restoreAllMocks();
      expect((await pulling(server, folder)).fetched).toBeLessThanOrEqual(100 * kib);
      expect(verifiedIn(folder)).toHaveLength(3);
    },
  );

  it('is told: a redirect loop', async () => {
    const server = await serving(randomShards([100]));
    server.fault = ({ file, path }) =>
      isShard(file) ? { status: 302, headers: { location: path } } : null;
    const error = await rejection(pulling(server, temporary()));
    expect(error).toMatchObject({ code: 'redirect_loop' });
    expect(error.message).toMatch(/redirects without end/);
  });

  it('is told: nobody listens', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const url = `http://127.0.0.1:${port}/model`;
    const error = await rejection(pull(url, { cache: { directory: temporary() }, ...quick }));
    expect(error).toMatchObject({ code: 'download_failed', param: 'manifest.json' });
    expect(error.message).toMatch(/ECONNREFUSED/);
  });

  it('leaves the others as they are', async () => {
    const model = randomShards([kib, kib, kib, kib]);
    const server = await serving(model);
    const folder = temporary();
    const bad = `${model.info.shards[2]!.sha256}.safetensors`;
    server.fault = ({ file }) => (file === bad ? { status: 404 } : null);
    const how = { parallel: 1 };
    await rejection(pulling(server, folder, how));
    expect(verifiedIn(folder)).toHaveLength(2);
    server.requests.length = 0;
    server.fault = () => null;
    expect((await pulling(server, folder, how)).fetched).toBe(2 * kib);
    expect(server.shardRequests()).toHaveLength(2);
  });
});

describe('the manifest', () => {
  const ways: [string, Fault, string, RegExp][] = [
    ['is not there', { status: 404 }, 'file_not_found', /manifest.json.*404/],
    ['is a web page', { headers: { 'content-type': 'text/html' } }, 'invalid_manifest', /web page/],
    ['is not JSON', { status: 200, body: '{"a":' }, 'invalid_manifest', /is not JSON/],
    ['is empty', { status: 200, body: '' }, 'download_failed', /the answer is empty/],
    [
      'is of a newer version',
      { status: 200, body: '{"format":"ocelli","version":2,"name":"x","shards":[]}' },
      'invalid_manifest',
      /of version 2, this ocelli reads version 1/,
    ],
    [
      'names a file outside',
      { status: 200, body: '{"name":"x","shards":[{"sha256":"../x","bytes":1,"holds":[]}]}' },
      'invalid_manifest',
      /shards\[0\].sha256 is "..\/x"; it must be 64/,
    ],
    [
      'has a shard without size',
      {
        status: 200,
        body: `{"name":"x","shards":[{"sha256":"${'a'.repeat(64)}","bytes":-1,"holds":[]}]}`,
      },
      'invalid_manifest',
      /shards\[0\].bytes is -1; it must be an integer/,
    ],
  ];
  it.each(ways)('%s', async (_, fault, code, message) => {
    const server = await serving(randomShards([100]));
    server.fault = ({ file }) => (isShard(file) ? null : fault);
    const error = await rejection(pulling(server, temporary(), { attempts: 2 }));
    expect(error).toMatchObject({ code, param: 'manifest.json' });
    expect(error.message).toMatch(message);
    expect(server.shardRequests()).toEqual([]);
  });

  it('is not the pinned one', async () => {
    const model = randomShards([100]);
    const server = await serving(model);
    const pin = 'ab'.repeat(32);
    const error = await rejection(pulling(server, temporary(), { manifestSha256: pin }));
    expect(error.code).toBe('manifest_hash_mismatch');
    expect(error.message).toContain(`has the sha256 ${sha256(model.manifest)}`);
    expect(error.message).toContain(pin);
    expect(server.shardRequests()).toEqual([]);
  });
});

describe('mirrors', () => {
  it('take over in turn, and the resumed bytes are not fetched again', async () => {
    const model = randomShards([400 * kib]);
    const [first, second, third] = [
      await serving(model),
      await serving(model),
      await serving(model),
    ];
    first.fault = ({ file }) => (isShard(file) ? { status: 404 } : null);
    second.fault = ({ file }) => (isShard(file) ? { cutAfter: 100 * kib } : null);
    third.fault = ({ file }) => (isShard(file) ? { cutAfter: 50 * kib } : null);
    const folder = temporary();
    const { fetched } = await pulling(first, folder, { mirrors: [second.url, third.url] });
    expect(fetched).toBe(400 * kib);
    expect(verifiedIn(folder)).toHaveLength(1);
    expect(first.shardRequests()).toHaveLength(1);
    const ranges = [second, third].map((one) => one.shardRequests().map(({ range }) => range));
    const starts = ranges.map((some) => some.map(startOf));
    const inOrder = [0, 1, 2].flatMap((n) => starts.map((some) => some[n] ?? Infinity));
    expect(inOrder[0]).toBe(0);
    for (let n = 1; n < 4; n++) expect(inOrder[n]).toBeGreaterThan(inOrder[n - 1] as number);
    // Each server's etags are its own.
    expect(third.shardRequests()[0]?.headers['if-range']).toBe(undefined);
  });

  it('take over from one that sends other bytes', async () => {
    const model = randomShards([10 * kib]);
    const [bad, good] = [await serving(model), await serving(model)];
    bad.fault = ({ file }) => (isShard(file) ? { damageAt: 5000 } : null);
    const folder = temporary();
    expect((await pulling(bad, folder, { mirrors: [good.url] })).fetched).toBe(20 * kib);
    expect(verifiedIn(folder)).toHaveLength(1);
    expect([bad.shardRequests().length, good.shardRequests().length]).toEqual([1, 1]);
  });

  it.each<[string, Fault]>([
    ['does not have the shards', { status: 404 }],
    ['breaks off', { cutAfter: 0 }],
    ['sends other bytes', { damageAt: 5000 }],
  ])('are asked last once one of them %s', async (_, fault) => {
    const model = randomShards(Array.from({ length: 8 }, (_, n) => (10 + n) * kib));
    const [bad, good] = [await serving(model), await serving(model)];
    bad.fault = ({ file }) => (isShard(file) ? fault : null);
    const folder = temporary();
    await pulling(bad, folder, { mirrors: [good.url], parallel: 2 });
    expect(verifiedIn(folder)).toHaveLength(8);
    expect(bad.shardRequests().length).toBeLessThanOrEqual(2);
    expect(good.shardRequests()).toHaveLength(8);
  });

  it('are all named as hopeless only when all are', async () => {
    const model = randomShards([10 * kib]);
    const [a, b] = [await serving(model), await serving(model)];
    a.fault = ({ file }) => (isShard(file) ? { status: 404 } : null);
    b.fault = ({ file }) => (isShard(file) ? { status: 403 } : null);
    const error = await rejection(pulling(a, temporary(), { mirrors: [b.url] }));
    expect(error.code).toBe('access_denied');
  });

  it('have a manifest too', async () => {
    const model = randomShards([100]);
    const [gone, there] = [await serving(model), await serving(model)];
    await gone.close();
    const folder = temporary();
    await pulling(gone, folder, { mirrors: [there.url] });
    expect(verifiedIn(folder)).toHaveLength(1);
  });
});

describe('the budget of requests', () => {
  it('is said to be too small before the first shard is fetched', async () => {
    const server = await serving(randomShards(Array(20).fill(1 << 18)));
    const error = await rejection(pulling(server, temporary(), { requestsMax: 10 }));
    expect(error).toMatchObject({ code: 'request_budget_exceeded', status: 507 });
    expect(error.message).toMatch(
      /20 shards are to be fetched, which takes 21 requests, but the budget is 10; .* --shard-mib 1/,
    );
    expect(server.shardRequests()).toEqual([]);
  });

  it('has a request for the address that a server sends on to, as hosts count them', async () => {
    const model = randomShards([1000, 2000, 3000]);
    const [front, back] = [await serving(model), await serving(model)];
    front.fault = ({ file }) => ({ status: 302, headers: { location: back.url + file } });
    const error = await rejection(pulling(front, temporary(), { requestsMax: 7 }));
    expect(error.code).toBe('request_budget_exceeded');
    expect(error.message).toMatch(
      /3 shards .* takes 8 requests, but the budget is 7; .* requestsMax/,
    );
    expect(back.shardRequests()).toEqual([]);
    const folder = temporary();
    await pulling(front, folder, { requestsMax: 8 });
    expect(verifiedIn(folder)).toHaveLength(3);
  });

  it('ends a download that needs more, and what has come stays', async () => {
    const server = await serving(randomShards([100 * kib, 100 * kib]));
    server.fault = ({ file }) => (isShard(file) ? { cutAfter: 30 * kib } : null);
    const folder = temporary();
    const how = { requestsMax: 5, parallel: 1 };
    const error = await rejection(pulling(server, folder, how));
    expect(error.code).toBe('request_budget_exceeded');
    expect(error.message).toMatch(/budget of 5 requests is spent; what has come stays/);
    expect(server.requests).toHaveLength(5);
    server.sent = 0;
    server.fault = () => null;
    expect((await pulling(server, folder, how)).fetched).toBe(100 * kib);
  });
});

describe('options', () => {
  it.each([
    [{ parallel: 0 }, 'parallel', /^parallel must be an integer from 1 to 32, got 0$/],
    [{ attempts: 1.5 }, 'attempts', /^attempts must be an integer .*, got 1.5$/],
    [{ stallMs: -1 }, 'stallMs', /^stallMs must be .*, got -1$/],
    [{ requestsMax: 0 }, 'requestsMax', /^requestsMax must be an integer, at least 1, got 0$/],
    [
      { manifestSha256: 'abc' },
      'manifestSha256',
      /^manifestSha256 must be 64 hex digits, got "abc"/,
    ],
    [{ mirrors: ['ftp://x/'] }, 'mirrors', /^mirrors must be a list, each an http\(s\) URL/],
    [{ mirrors: 'https://x/' as never }, 'mirrors', /a list, each an .*, got "https:\/\/x\/"$/],
    [
      { headers: { a: 1, key: 'secret' } as never },
      'headers',
      /strings, got an object with a, key$/,
    ],
    [{ cache: 'disk' as 'fs' }, 'cache', /^cache must be one of "auto", .*, got "disk"$/],
    [{ cache: { dir: '/tmp' } as never }, 'cache', /\{ directory \}.*, got an object with dir$/],
  ])('%j', async (options, param, message) => {
    const error = await rejection(pull('http://127.0.0.1:9/', options));
    expect(error).toMatchObject({ status: 400, code: 'invalid_value', param });
    expect(error.message).toMatch(message);
  });

  it('names the one that was meant', async () => {
    const error = await rejection(
      pull('http://127.0.0.1:9/', { mirror: ['https://x/'] } as object),
    );
    expect(error).toMatchObject({ code: 'unknown_option', param: 'mirror' });
    expect(error.message).toBe('there is no option mirror: did you mean mirrors?');
  });
});

describe('an abort', () => {
  it('ends it at any byte, with its reason, and the rest comes later', async () => {
    const model = randomShards([200 * kib, 200 * kib]);
    const server = await serving(model);
    server.fault = ({ file }) => (isShard(file) ? { throttle: 2000 * kib } : null);
    const folder = temporary();
    let before = 0;
    for (const at of [0, 1, 60 * kib, 250 * kib]) {
      const control = new AbortController();
      const reason = new Error(`enough at ${at}`);
      const onProgress = (bytes: number): void => {
        before = bytes;
        if (bytes > at) control.abort(reason);
      };
      const ended = pulling(server, folder, { signal: control.signal, onProgress, parallel: 2 });
      await expect(ended).rejects.toBe(reason);
    }
    server.sent = 0;
    server.fault = () => null;
    const { fetched } = await pulling(server, folder);
    expect(fetched).toBeLessThanOrEqual(sizeOf(model) - before);
    expect(verifiedIn(folder)).toHaveLength(2);
    expect(readdirSync(folder).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  it('ends a wait for a server that says nothing', async () => {
    const server = await serving(randomShards([100]));
    server.fault = ({ file }) => (isShard(file) ? { stallAfter: 10 } : null);
    const control = new AbortController();
    const ended = pulling(server, temporary(), { signal: control.signal, stallMs: 60_000 });
    setTimeout(() => control.abort(), 100);
    await expect(ended).rejects.toMatchObject({ name: 'AbortError' });
  });
});

it('gets the same bytes however often the connection breaks', async () => {
  // Lengths that pieces, buffers and packets do not divide.
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  let cuts = 0;
  let sent = 0;
  let size = 0;
  for (let round = 0; round < 20; round++) {
    const model = randomShards([1 + random(300 * kib), 1 + random(300 * kib), 1 + random(50)]);
    const server = await serving(model);
    server.fault = ({ file, nth }) => {
      if (!isShard(file) || nth > 25 || random(6) === 0) return null;
      cuts++;
      const kinds: Fault[] = [
        { cutAfter: random(60 * kib) },
        { cutAfter: random(300) },
        { endAfter: random(60 * kib) },
        { status: 500 + random(4) },
      ];
      return kinds[random(kinds.length)];
    };
    const folder = temporary();
    const { fetched } = await pulling(server, folder, { attempts: 30 });
    expect(verifiedIn(folder)).toHaveLength(3);
    expect(fetched).toBe(sizeOf(model));
    sent += server.sent;
    size += sizeOf(model) + model.manifest.length;
  }
  expect(cuts).toBeGreaterThan(50); // how many depends on which request comes first
  // A cut costs what lay in buffers, here at most what one request had sent: a third on the whole.
  expect(sent / size).toBeLessThan(1.35);
});
