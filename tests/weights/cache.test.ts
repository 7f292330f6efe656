// The four kinds of cache behind their one interface, and what a library of models does with any of them. Surprise: the
// browser's two run on storage made up here (fake_storage.ts); tests/runtimes has the real ones.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { cacheApiStore } from '../../js/weights/cache/cache_api.ts';
import { fsStore } from '../../js/weights/cache/fs.ts';
import { Library } from '../../js/weights/cache/library.ts';
import { memoryStore } from '../../js/weights/cache/memory.ts';
import { openCache } from '../../js/weights/cache/open.ts';
import { opfsStore } from '../../js/weights/cache/opfs.ts';
import { PartialShard } from '../../js/weights/cache/partial.ts';
import { readAll, type Store } from '../../js/weights/cache/store.ts';
import { rejection } from '../js/fake_ai.ts';
import { FakeCache, FakeLocks, fakeOpfs } from './fake_storage.ts';
import { randomShards, sha256 } from './faulty_server.ts';
import { pulling, serving, temporary, verifiedIn } from './fixtures.ts';

afterEach(() => vi.unstubAllGlobals());

interface Made {
  store: Store;
  /** From now on no more than so many bytes fit. */
  limit?(bytesMax: number): void;
}
const kinds: [string, () => Promise<Made>][] = [
  ['a folder', async () => ({ store: await fsStore(temporary()) })],
  ['memory', async () => ({ store: memoryStore(10 << 20) })],
  [
    'the Cache API',
    async () => {
      const cache = new FakeCache();
      const store = await cacheApiStore(cache as unknown as Cache);
      const storage = { estimate: async () => ({ quota: 2 ** 30, usage: 0 }) };
      vi.stubGlobal('navigator', { storage, locks: new FakeLocks() });
      return { store, limit: (bytesMax) => void (cache.bytesMax = bytesMax) };
    },
  ],
  ['OPFS in a worker', async () => await opfs(true)],
  ['OPFS in a page', async () => await opfs(false)],
];
async function opfs(worker: boolean): Promise<Made> {
  const { storage, disk } = fakeOpfs(worker);
  vi.stubGlobal('navigator', { storage, locks: new FakeLocks() });
  return { store: await opfsStore(), limit: (bytesMax) => void (disk.bytesMax = bytesMax) };
}

/** toEqual() looks at every byte on its own. */
const same = (a: Uint8Array | null, b: Uint8Array): boolean =>
  a !== null && Buffer.compare(a, b) === 0;
const bytesOf = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
async function write(store: Store, name: string, at: number, bytes: Uint8Array): Promise<void> {
  const writer = await store.append(name, at);
  await writer.write(bytes);
  await writer.close();
}

describe.each(kinds)('%s', (_, make) => {
  it('keeps files that grow, are cut, renamed and removed', async () => {
    const { store } = await make();
    expect(await store.open('a')).toBe(null);
    const bytes = bytesOf(9_000_001); // more than two pieces of the Cache API
    await write(store, 'a', 0, bytes.subarray(0, 5_000_000));
    await write(store, 'a', 5_000_000, bytes.subarray(5_000_000));
    expect(same(await readAll(store, 'a'), bytes)).toBe(true);
    // Cut in the middle of a piece, then other bytes.
    await write(store, 'a', 4_500_000, bytes.subarray(0, 1000));
    const cut = (await readAll(store, 'a'))!;
    expect(cut.length).toBe(4_501_000);
    expect(same(cut.subarray(0, 4_500_000), bytes.subarray(0, 4_500_000))).toBe(true);
    expect(same(cut.subarray(4_500_000), bytes.subarray(0, 1000))).toBe(true);
    const file = (await store.open('a'))!;
    const into = new Uint8Array(100);
    expect(await file.read(4_500_950, into)).toBe(50);
    expect(into.subarray(0, 50)).toEqual(bytes.subarray(950, 1000));
    expect(await file.read(4_501_000, into)).toBe(0);
    await file.close();
    await store.put('b', bytesOf(10));
    await store.rename('a', 'b');
    expect(await store.open('a')).toBe(null);
    expect(same(await readAll(store, 'b'), cut)).toBe(true);
    expect(await store.list()).toEqual([{ name: 'b', bytes: 4_501_000 }]);
    await store.remove('b');
    await store.remove('b');
    expect(await store.list()).toEqual([]);
    await write(store, 'empty', 0, new Uint8Array());
    expect((await readAll(store, 'empty'))?.length).toBe(0);
  });

  it('replaces small files as a whole', async () => {
    const { store } = await make();
    await store.put('model-1.json', new TextEncoder().encode('one'));
    await store.put('model-1.json', new TextEncoder().encode('another'));
    expect(new TextDecoder().decode((await readAll(store, 'model-1.json'))!)).toBe('another');
    expect(await store.list()).toEqual([{ name: 'model-1.json', bytes: 7 }]);
  });

  it('locks by name, in turn', async () => {
    const { store } = await make();
    const first = (await store.lock('x'))!;
    expect(await store.lock('x', { wait: false })).toBe(null);
    const other = (await store.lock('y', { wait: false }))!;
    expect(other).not.toBe(null);
    const order: number[] = [];
    const later = store.lock('x').then((release) => {
      order.push(2);
      return release;
    });
    const control = new AbortController();
    const given = expect(store.lock('x', { signal: control.signal })).rejects.toBe('enough');
    control.abort('enough');
    await given;
    order.push(1);
    await first();
    await (
      await later
    )?.();
    expect(order).toEqual([1, 2]);
    await (
      await store.lock('x', { wait: false })
    )?.();
    await other();
  });

  it('knows about room', async () => {
    const { store, limit } = await make();
    expect(await store.free()).toBeGreaterThan(1 << 20);
    if (!limit) return;
    await write(store, 'a', 0, bytesOf(1000));
    limit(6000);
    const failing = write(store, 'a', 1000, bytesOf(1 << 20));
    expect(await rejection(failing)).toMatchObject({ status: 507, code: 'cache_full' });
    expect((await readAll(store, 'a'))?.length).toBeGreaterThanOrEqual(1000);
  });

  it('commits a shard only when it is told that its hash holds', async () => {
    const { store } = await make();
    const library = new Library(store);
    const bytes = bytesOf(100_000);
    const info = { sha256: sha256(bytes), bytes: bytes.length, holds: [] };
    const claim = async (): Promise<PartialShard> => {
      const claimed = await library.claim(info);
      expect(claimed).toBeInstanceOf(PartialShard);
      return claimed as PartialShard;
    };
    const origin = { url: 'http://a/b', etag: '"1"' };
    let partial = await claim();
    expect([partial.before, partial.origin]).toEqual([0, null]);
    await partial.write(bytes.subarray(0, 40_000), origin);
    await partial.leave();
    expect(await library.shard(info)).toBe(null);
    partial = await claim();
    expect([partial.before, partial.origin]).toEqual([40_000, origin]);
    const into = new Uint8Array(100_000);
    expect(await partial.read(0, into)).toBeGreaterThan(0);
    await partial.write(bytes.subarray(40_000), origin);
    await partial.discard();
    partial = await claim();
    expect(partial.before).toBe(0);
    await partial.write(bytes, null);
    const second = library.claim(info); // another tab, which waits
    await partial.commit();
    const shared = await second;
    expect(shared).not.toBeInstanceOf(PartialShard);
    if (!(shared instanceof PartialShard)) await shared.close();
    expect(same(await readAll(store, `${info.sha256}.safetensors`), bytes)).toBe(true);
    expect((await store.list()).map(({ name }) => name)).toEqual([`${info.sha256}.safetensors`]);
  });
});

it('the Cache API has a whole file or the one before, wherever it is killed', async () => {
  for (let kill = 0; kill < 12; kill++) {
    const cache = new FakeCache();
    const store = await cacheApiStore(cache as unknown as Cache);
    await write(store, 'a', 0, new Uint8Array(5 << 20).fill(1));
    await store.put('b', new Uint8Array(9).fill(1));
    let writes = 0;
    cache.beforeWrite = () => {
      if (writes++ === kill) throw new Error('killed');
    };
    const work = async (): Promise<void> => {
      await write(store, 'a', 5 << 20, new Uint8Array(5 << 20).fill(1));
      await store.put('b', new Uint8Array(9).fill(2));
      await store.rename('a', 'c');
      await store.remove('b');
    };
    const killed = await work().then(
      () => false,
      () => true,
    );
    cache.beforeWrite = () => undefined;
    const whole = (await readAll(store, 'c')) ?? (await readAll(store, 'a'));
    expect(whole?.every((byte) => byte === 1)).toBe(true);
    expect(whole?.length).toBeGreaterThanOrEqual(4 << 20);
    const b = await readAll(store, 'b');
    if (b) expect(new Set(b).size).toBe(1);
    else expect(kill).toBeGreaterThan(6);
    if (!killed) break;
    expect(kill).toBeLessThan(11);
  }
});

describe('a full cache', () => {
  const size = 100_000;
  const models = () => ['a', 'b', 'c'].map((name) => randomShards([size, size], name));

  it('gives up no model for one that does not fit all the same', async () => {
    const library = new Library(memoryStore(5 * size));
    const made = models();
    for (const [n, { info, manifest, shards }] of made.slice(0, 2).entries()) {
      const text = new TextDecoder().decode(manifest);
      await library.keep({ url: `http://x/${n}/`, etag: null, manifest: text });
      for (const [index, one] of info.shards.entries()) await library.put(one, shards[index]!);
    }
    const { info, manifest } = randomShards([size, size, size, size, size], 'large');
    const url = 'http://x/large/';
    await library.keep({ url, etag: null, manifest: new TextDecoder().decode(manifest) });
    expect(await library.makeRoom(url, info.shards)).toBeGreaterThan(0);
    // Nor shard by shard.
    expect(await library.makeRoom(url, [info.shards[0]!])).toBeGreaterThan(0);
    const whole = (await library.list()).filter(({ bytes }) => bytes === 2 * size);
    expect(whole.map(({ name }) => name).sort()).toEqual(['a', 'b']);
  });

  it('gives up the models that were used longest ago', async () => {
    const store = memoryStore(5 * size);
    const library = new Library(store);
    const made = models();
    const bring = async (n: number): Promise<number> => {
      const { info, manifest, shards } = made[n]!;
      const url = `http://x/${n}/`;
      await library.keep({ url, etag: null, manifest: new TextDecoder().decode(manifest) });
      const missing = await library.missing(info.shards);
      const lacking = await library.makeRoom(url, missing);
      if (lacking > 0) return lacking;
      for (const [index, one] of info.shards.entries()) {
        const claimed = await library.claim(one);
        if (!(claimed instanceof PartialShard)) continue;
        await claimed.write(shards[index]!, null);
        await claimed.commit();
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
      return 0;
    };
    const names = async (): Promise<string[]> =>
      (await library.list()).filter(({ shards }) => shards === 2).map(({ name }) => name);
    await bring(0);
    await bring(1);
    await bring(0); // used again
    expect(await names()).toEqual(['a', 'b']);
    expect(await bring(2)).toBe(0);
    expect(await names()).toEqual(['c', 'a']);
    // One that is in use stays, and so does what would not help.
    const release = (await store.lock('use-' + useKey('http://x/0/'), { wait: false }))!;
    expect(await bring(1)).toBe(0);
    expect(await names()).toEqual(['b', 'a']);
    await release();
  });
  /** The same FNV-1a as library.ts has. */
  const useKey = (url: string): string => {
    let hash = 0xcbf29ce484222325n;
    for (const byte of new TextEncoder().encode(url))
      hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
    return hash.toString(16).padStart(16, '0');
  };

  it('is an error for pull, which says how much is lacking', async () => {
    const server = await serving(randomShards([size, size]));
    const error = await rejection(pulling(server, '', { cache: { memoryBytesMax: 1.5 * size } }));
    expect(error).toMatchObject({ status: 507, code: 'cache_full' });
    expect(error.message).toMatch(/in memory has no room for random: \d+ more bytes are needed/);
    expect(server.shardRequests()).toEqual([]);
  });
});

describe('a quota that is exceeded', () => {
  const size = 100_000;
  it.each([
    ['opfs', 'in this browser (OPFS)'],
    ['cache-api', 'in the Cache API'],
  ] as const)(
    '%s: is told before the first shard, or when it comes to that',
    async (cache, where) => {
      const { storage, disk } = fakeOpfs(true);
      const entries = new FakeCache();
      vi.stubGlobal('navigator', { storage, locks: new FakeLocks() });
      vi.stubGlobal('caches', { open: async () => entries });
      const model = randomShards([size, size]);
      const server = await serving(model);
      const keep = (bytes: number): void => void (disk.bytesMax = entries.bytesMax = bytes);
      keep(1.5 * size);
      const early = await rejection(pulling(server, '', { cache }));
      expect(early).toMatchObject({ status: 507, code: 'cache_full' });
      expect(early.message).toMatch(/has no room for random: \d+ more bytes are needed/);
      expect(early.message).toContain(where);
      expect(server.shardRequests()).toEqual([]);
      // Others take what was free.
      keep(10 * size);
      const onProgress = (bytes: number): void => void (bytes >= size && keep(1.5 * size));
      const late = await rejection(pulling(server, '', { cache, onProgress, parallel: 1 }));
      expect(late).toMatchObject({ status: 507, code: 'cache_full' });
      expect(late.message).toContain(where);
      keep(10 * size);
      server.sent = 0;
      await pulling(server, '', { cache });
      expect(server.sent).toBeLessThanOrEqual(size + model.manifest.length);
    },
  );
});

describe('a folder that cannot be written', () => {
  // Nobody can make files there, not even root.
  it.skipIf(process.platform !== 'linux')('is an error for pull that names it', async () => {
    const server = await serving(randomShards([10]));
    const error = await rejection(pulling(server, '/sys/kernel'));
    expect(error).toMatchObject({ status: 500, code: 'cache_unusable' });
    expect(error.message).toMatch(/^the cache \/sys\/kernel cannot be used \(.*\): E/);
    expect(server.shardRequests()).toEqual([]);
  });

  it('is an error for pull', async () => {
    const file = join(temporary(), 'a file');
    writeFileSync(file, '');
    const server = await serving(randomShards([10]));
    const error = await rejection(pulling(server, join(file, 'cache')));
    expect(error).toMatchObject({ code: 'cache_unusable' });
    expect(error.message).toMatch(/cannot be used \(making the folder\): E/);
  });

  it.skipIf(process.getuid?.() === 0)('can still be read', async () => {
    const folder = temporary();
    const server = await serving(randomShards([1000]));
    await pulling(server, folder);
    chmodSync(folder, 0o500);
    server.requests.length = 0;
    await rejection(pulling(server, folder)); // it says so
    expect(server.shardRequests()).toEqual([]);
    chmodSync(folder, 0o700);
  });
});

describe('openCache', () => {
  it('lists, measures, verifies and removes', async () => {
    const directory = temporary();
    const [one, two] = [randomShards([1000, 2000], 'one'), randomShards([3000], 'two')];
    // They share a shard.
    const shared = { ...two.info, shards: [...two.info.shards, one.info.shards[0]!] };
    for (const [name, bytes] of one.files) if (name !== 'manifest.json') two.files.set(name, bytes);
    two.files.set('manifest.json', new TextEncoder().encode(JSON.stringify(shared)));
    const [first, second] = [await serving(one), await serving({ ...two })];
    await pulling(first, directory);
    expect((await pulling(second, directory)).fetched).toBe(3000);
    const cache = await openCache({ directory });
    expect([cache.kind, cache.where]).toEqual(['fs', directory]);
    expect(await cache.list()).toMatchObject([
      { name: 'two', url: second.url, bytes: 4000, totalBytes: 4000, shards: 2, totalShards: 2 },
      { name: 'one', url: first.url, bytes: 3000, totalBytes: 3000, shards: 2, totalShards: 2 },
    ]);
    const { bytes, free } = await cache.size();
    expect(bytes).toBeGreaterThan(6000);
    expect(free).toBeGreaterThan(1 << 20);
    expect(await cache.verify()).toEqual({ checked: 3, damaged: [] });

    const file = `${one.info.shards[1]!.sha256}.safetensors`;
    const path = join(directory, file);
    const damagedBytes = readFileSync(path);
    damagedBytes[77]! ^= 1;
    writeFileSync(path, damagedBytes);
    const seen: number[] = [];
    const found = await cache.verify('one', { progress: (done) => void seen.push(done) });
    expect(found).toEqual({
      checked: 2,
      damaged: [{ file, expected: one.info.shards[1]!.sha256, found: sha256(damagedBytes) }],
    });
    expect(seen.at(-1)).toBe(3000);
    expect(existsSync(path)).toBe(false);
    expect((await pulling(first, directory)).fetched).toBe(2000);

    expect(await rejection(cache.remove('three'))).toMatchObject({ code: 'model_not_cached' });
    expect(await cache.remove(`${first.url}manifest.json?x=1`)).toBeGreaterThan(2000);
    expect(verifiedIn(directory)).toHaveLength(2); // the shared one stays
    await cache.remove('two');
    expect(readdirSync(directory)).toEqual([]);
  });

  it('removes what belongs to nobody', async () => {
    const directory = temporary();
    const cache = await openCache({ directory });
    writeFileSync(join(directory, `${'a'.repeat(64)}.partial`), 'abc');
    writeFileSync(join(directory, 'model-1.json.12-1-x.tmp'), 'abc');
    writeFileSync(join(directory, 'letter.txt'), 'not ours');
    expect(await cache.removeUnused()).toBe(6);
    expect(readdirSync(directory)).toEqual(['letter.txt']);
  });
});
