// The files of LoRA adapters through the cache: what a second start asks for, what a changed, broken or absent server makes
// of it, what `ocelli cache` shows. Surprise: the bytes are random; what an engine makes of them is tests/js's.
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readAdapterFiles, type AdapterPlace } from '../../js/weights/adapter_files.ts';
import type { CacheChoice } from '../../js/weights/cache/choose.ts';
import { openCache } from '../../js/weights/cache/open.ts';
import type { SourceOptions } from '../../js/weights/download_options.ts';
import { rejection } from '../js/fake_ai.ts';
import { FakeCache, FakeLocks, fakeOpfs } from './fake_storage.ts';
import { type FaultyServer, faultyServer, randomShards, sha256 } from './faulty_server.ts';
import { atEnd, impatient, pulling, quick, serving, temporary } from './fixtures.ts';

const configFile = 'adapter_config.json';
const tensorsFile = 'adapter_model.safetensors';

let server: FaultyServer;
let directory: string;
beforeEach(async () => {
  directory = temporary();
  server = await faultyServer(new Map());
  atEnd(() => server.close());
  version(1);
});
afterEach(() => vi.unstubAllGlobals());

/** Another version of the adapter, at the server. */
function version(n: number): void {
  server.files.set(configFile, new TextEncoder().encode(JSON.stringify({ r: n })));
  server.files.set(tensorsFile, new Uint8Array(randomBytes(300_000)));
}
const bytesAt = (file: string): Uint8Array => server.files.get(file) as Uint8Array;
const pinOf = (file: string): string => sha256(bytesAt(file));

async function reading(
  place: Partial<AdapterPlace> = {},
  options: SourceOptions = {},
  signal?: AbortSignal,
): Promise<{ config: string; tensors: string }> {
  const how = { cache: { directory }, ...quick, ...options };
  const files = await readAdapterFiles({ from: server.url, ...place }, fetch, how, signal);
  return { config: files.config, tensors: sha256(files.tensors) };
}
const asServed = (): { config: string; tensors: string } => ({
  config: new TextDecoder().decode(bytesAt(configFile)),
  tensors: pinOf(tensorsFile),
});
/** What is asked of the server, and how many bytes come, while `work` goes on. */
async function traffic<T>(work: () => Promise<T>) {
  const before = server.requests.length;
  const sent = server.sent;
  const result = await work();
  return { result, requests: server.requests.length - before, bytes: server.sent - sent };
}

const caches: [string, () => CacheChoice][] = [
  ['a folder', () => ({ directory })],
  ['memory', () => 'memory'],
  [
    'the Cache API',
    () => {
      const cache = new FakeCache();
      vi.stubGlobal('caches', { open: async () => cache });
      vi.stubGlobal('navigator', { locks: new FakeLocks() });
      return 'cache-api';
    },
  ],
  ...[true, false].map((worker): [string, () => CacheChoice] => [
    `OPFS in a ${worker ? 'worker' : 'page'}`,
    () => {
      vi.stubGlobal('navigator', { storage: fakeOpfs(worker).storage, locks: new FakeLocks() });
      return 'opfs';
    },
  ]),
];

describe.each(caches)('%s', (_, choose) => {
  it('keeps what has come: a second start brings no bytes, and sees a new version', async () => {
    const cache = choose();
    expect(await reading({}, { cache })).toEqual(asServed());
    const second = await traffic(() => reading({}, { cache }));
    expect(second).toEqual({ result: asServed(), requests: 2, bytes: 0 });
    version(2);
    expect(await reading({}, { cache })).toEqual(asServed());
    expect((await traffic(() => reading({}, { cache }))).bytes).toBe(0);
    const opened = await openCache(cache);
    expect(await opened.list()).toMatchObject([{ kind: 'adapter', name: 'model', shards: 2 }]);
    expect(await opened.verify()).toEqual({ checked: 2, damaged: [] });
    await opened.remove(server.url);
    await opened.removeUnused();
    expect(await opened.list()).toEqual([]);
    expect((await opened.size()).bytes).toBe(0);
  });
});

describe('what is still right', () => {
  it('with both hashes known nobody is asked, wherever the bytes were from', async () => {
    const pins = { sha256: pinOf(tensorsFile).toUpperCase(), configSha256: pinOf(configFile) };
    const expected = asServed();
    await reading(pins);
    const again = await traffic(() => reading(pins));
    expect(again).toEqual({ result: expected, requests: 0, bytes: 0 });
    const elsewhere = server.url.replace('/model/', '/other/');
    const moved = await traffic(() => reading({ ...pins, from: elsewhere }));
    expect(moved).toEqual({ result: expected, requests: 0, bytes: 0 });
    version(2);
    const other = await rejection(reading({ ...pins, sha256: '0'.repeat(64) }));
    expect(other).toMatchObject({ code: 'adapter_hash_mismatch', param: tensorsFile });
    const config = await rejection(reading({ configSha256: '0'.repeat(64) }));
    expect(config).toMatchObject({ code: 'adapter_hash_mismatch', param: configFile });
    // And what was kept before is not lost by that.
    expect((await traffic(() => reading(pins))).requests).toBe(0);
  });

  it('by its date and length where there is no etag', async () => {
    const dated = { etag: null, headers: { 'last-modified': 'Sun, 01 Nov 2026 00:00:00 GMT' } };
    server.fault = () => dated;
    await reading();
    expect(await traffic(reading)).toMatchObject({ requests: 2, bytes: 0 });
    server.fault = () => ({
      etag: null,
      headers: { 'last-modified': 'Mon, 02 Nov 2026 00:00:00 GMT' },
    });
    version(2);
    expect(await reading()).toEqual(asServed());
  });

  it('a server that answers with all of it is not read on when nothing has changed', async () => {
    // As across origins: a page does not send conditions there, and sees no etag.
    vi.stubGlobal('location', { origin: 'https://elsewhere.example' });
    version(1);
    server.files.set(tensorsFile, new Uint8Array(randomBytes(20 << 20)));
    const headers = { 'last-modified': 'Sun, 01 Nov 2026 00:00:00 GMT' };
    server.fault = () => ({ etag: null, headers });
    await reading();
    const second = await traffic(reading);
    expect(second.result).toEqual(asServed());
    expect(second.bytes).toBeLessThan(15 << 20); // what lay in buffers on the way
    // Another length at the same date is another file.
    server.files.set(tensorsFile, new Uint8Array(randomBytes(1000)));
    expect(await reading()).toEqual(asServed());
  });

  it('nobody knows where a server tells nothing: it comes again', async () => {
    server.fault = () => ({ etag: null });
    await reading();
    version(2);
    const second = await traffic(reading);
    expect(second.result).toEqual(asServed());
    expect(second.bytes).toBe(300_000 + bytesAt(configFile).length);
  });

  it('as it was, where no server answers', async () => {
    const expected = asServed();
    await reading();
    for (const fault of [{ status: 503 }, { status: 404 }, { cutAfter: 0 }]) {
      server.fault = () => fault;
      expect(await reading()).toEqual(expected);
    }
    server.fault = () => ({ stallAfter: 0, etag: 'W/"other"' });
    expect(await reading({}, impatient)).toEqual(expected);
    await server.close();
    expect(await reading()).toEqual(expected);
  });

  it('never half of one version and half of another', async () => {
    const expected = asServed();
    await reading();
    version(2);
    server.fault = ({ file }) => (file === tensorsFile ? { status: 500 } : null);
    expect(await reading()).toEqual(expected);
    server.fault = ({ file }) => (file === configFile ? { status: 500 } : null);
    expect(await reading()).toEqual(expected);
    server.fault = () => null;
    expect(await reading()).toEqual(asServed());
  });
});

describe('a transfer that broke', () => {
  const attempts = { attempts: 1 };
  /** The first load ends after so many bytes of the tensors. */
  async function brokenAt(cutAfter: number, more = {}): Promise<void> {
    server.fault = ({ file, nth }) =>
      file !== tensorsFile ? null : nth === 0 ? { cutAfter, ...more } : { status: 500 };
    expect((await rejection(reading({}, attempts))).code).toBe('download_failed');
    server.fault = () => null;
  }

  it('goes on at the next start', async () => {
    await brokenAt(200_000);
    const { result, bytes } = await traffic(reading);
    expect(result).toEqual(asServed());
    expect(bytes).toBeLessThan(150_000);
    expect(server.requests.at(-1)?.range).toMatch(/^bytes=\d{5,6}-$/);
  });

  it('does not go on with another version, or one that nobody can tell', async () => {
    await brokenAt(200_000);
    version(2);
    expect(await reading()).toEqual(asServed());
    await (await openCache({ directory })).remove(server.url);
    for (const more of [{ etag: null }, { etag: 'W/"weak"' }]) {
      await (await openCache({ directory })).removeUnused();
      server.requests.length = 0;
      version(3);
      server.fault = ({ file }) => (file === tensorsFile ? { cutAfter: 200_000, ...more } : null);
      await rejection(reading({}, attempts));
      version(4);
      server.fault = () => more;
      expect(await reading()).toEqual(asServed());
      await (await openCache({ directory })).remove(server.url);
    }
  });

  it('of a new version: goes on in the same start, with all its attempts', async () => {
    await reading();
    version(2);
    const from = server.requests.length;
    server.fault = ({ file, nth }) =>
      file === tensorsFile && nth < from + 2 ? { cutAfter: 90_000 } : null;
    expect(await reading()).toEqual(asServed());
  });

  it('is ended by its signal, and goes on later', async () => {
    const stop = new AbortController();
    server.fault = ({ file }) => (file === tensorsFile ? { throttle: 400_000 } : null);
    const work = reading({}, {}, stop.signal).catch((error: unknown) => error);
    await vi.waitUntil(() => (server.sentOf.get(tensorsFile) ?? 0) > 20_000, 20_000);
    stop.abort(new Error('enough'));
    expect(await work).toMatchObject({ message: 'enough' });
    server.fault = () => null;
    expect(await reading()).toEqual(asServed());
  });
});

describe('the cache', () => {
  it('several at once share one download', async () => {
    const all = await Promise.all([reading(), reading(), reading()]);
    for (const one of all) expect(one).toEqual(asServed());
    expect(server.sent).toBe(300_000 + bytesAt(configFile).length);
  });

  it('a damaged file is thrown away and comes again', async () => {
    await reading();
    const path = join(directory, `${pinOf(tensorsFile)}.safetensors`);
    const bytes = readFileSync(path);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const { result, bytes: come } = await traffic(reading);
    expect(result).toEqual(asServed());
    expect(come).toBe(300_000);
    writeFileSync(path, bytes);
    const opened = await openCache({ directory });
    expect((await opened.verify('model')).damaged).toHaveLength(1);
    expect((await traffic(reading)).bytes).toBe(300_000);
    expect((await opened.verify('model')).damaged).toEqual([]);
  });

  it('an adapter that has not been used for longest makes room, as a model does', async () => {
    const { storage, disk } = fakeOpfs(true);
    vi.stubGlobal('navigator', { storage, locks: new FakeLocks() });
    disk.bytesMax = 1_000_000;
    const cache = 'opfs';
    const model = await serving(randomShards([600_000]));
    const opened = await openCache(cache);
    const kinds = async () => (await opened.list()).map(({ kind }) => kind);
    await reading({}, { cache });
    expect(await kinds()).toEqual(['adapter']);
    await pulling(model, '', { cache });
    expect(await kinds()).toEqual(['model', 'adapter']);
    const larger = await serving(randomShards([350_000]));
    await pulling(larger, '', { cache });
    expect(await kinds()).toEqual(['model', 'model']);
    // And the other way round.
    expect(await reading({}, { cache })).toEqual(asServed());
    expect(await kinds()).toEqual(['adapter', 'model']);
  });

  it('without room, or without a cache, it is read all the same', async () => {
    const expected = asServed();
    const small = { memoryBytesMax: 100_000 };
    expect(await reading({}, { cache: small })).toEqual(expected);
    expect(await reading({}, { cache: 'none' })).toEqual(expected);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('leaves no locks, nothing half written', async () => {
    await reading();
    version(2);
    await reading();
    const left = readdirSync(directory).filter((name) => !/\.(safetensors|json)$/.test(name));
    expect(left).toEqual([]);
  });
});
