// Hundreds of downloads over a bad network, each killed between two writes to the cache, until one gets through: it must end
// with the right bytes or with a typed error, and never fetch a verified shard again. Surprise: the kill is a store that
// stops answering, for the Cache API also between the writes of one operation; processes.test.ts kills real processes.
import { expect, it } from 'vitest';
import { OcelliError } from '../../js/errors.ts';
import { cacheApiStore } from '../../js/weights/cache/cache_api.ts';
import { Library } from '../../js/weights/cache/library.ts';
import { memoryStore } from '../../js/weights/cache/memory.ts';
import { PartialShard } from '../../js/weights/cache/partial.ts';
import { readAll, type Store } from '../../js/weights/cache/store.ts';
import { readyOptions } from '../../js/weights/download_options.ts';
import { DownloadReader } from '../../js/weights/download_reader.ts';
import { shardFile } from '../../js/weights/source.ts';
import { dice } from './dice.ts';
import { FakeCache } from './fake_storage.ts';
import { type MadeModel, randomShards, sha256 } from './faulty_server.ts';

const seeds = Number(process.env['OCELLI_FUZZ_RUNS'] ?? 500);

class Killed extends Error {}

/** `store` until its nth change; from then on nothing is changed and everything rejects. */
function mortal(store: Store, changes: number): Store {
  let left = changes;
  const change = async <T>(work: () => Promise<T>): Promise<T> => {
    if (left-- <= 0) throw new Killed('killed');
    return await work();
  };
  return {
    ...store,
    lock: async () => async () => undefined, // a dead process's locks are taken over
    put: (name, bytes) => change(() => store.put(name, bytes)),
    rename: (from, to) => change(() => store.rename(from, to)),
    remove: (name) => change(() => store.remove(name)),
    async append(name, at) {
      const writer = await change(() => store.append(name, at));
      return { write: (piece) => change(() => writer.write(piece)), close: () => writer.close() };
    },
  };
}

/** A network without sockets: it serves the model, cut, damaged, refused or ignoring ranges as the dice fall. */
function badFetch(model: MadeModel, random: (below: number) => number) {
  const network = { sent: 0, asked: [] as string[] };
  const fetcher = async (input: unknown, init?: RequestInit): Promise<Response> => {
    const file = new URL(String(input)).pathname.split('/').at(-1) ?? '';
    network.asked.push(file);
    const kind = random(8);
    if (kind === 0) throw new TypeError('fetch failed');
    if (kind === 1) return new Response('busy', { status: 500 + random(5) });
    const whole = (model.files.get(file) as Uint8Array).slice();
    if (kind === 2) whole[random(whole.length)]! ^= 1 + random(255);
    const range = /^bytes=(\d+)-$/.exec(new Headers(init?.headers).get('range') ?? '');
    const from = range && kind !== 3 ? Number(range[1]) : 0;
    const length = whole.length - from;
    const end = kind < 6 ? random(length + 1) : length;
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = whole.slice(from + at, from + Math.min(end, at + 1 + random(700)));
        at += piece.length;
        network.sent += piece.length;
        if (piece.length > 0) return controller.enqueue(piece);
        if (end < length && random(2) === 0) return controller.error(new TypeError('terminated'));
        controller.close();
      },
    });
    const headers: Record<string, string> = { etag: '"1"' };
    if (from > 0 || (range && kind !== 3))
      headers['content-range'] = `bytes ${from}-${whole.length - 1}/${whole.length}`;
    return new Response(body, { status: headers['content-range'] ? 206 : 200, headers });
  };
  return { network, fetcher: fetcher as typeof fetch };
}

/** What a process does with one shard; resolves to whether its bytes were right. */
async function load(library: Library, model: MadeModel, n: number, fetcher: typeof fetch) {
  const info = model.info.shards[n]!;
  const claimed = await library.claim(info);
  const bytes = new Uint8Array(info.bytes);
  let at = 0;
  if (!(claimed instanceof PartialShard)) {
    for (let count; (count = await claimed.read(at, bytes.subarray(at))) > 0; ) at += count;
    const good = sha256(bytes) === info.sha256;
    if (!good) await library.discard(info);
    return good;
  }
  const reader = new DownloadReader({
    network: {
      mirrors: [new URL('http://x/')],
      fetch: fetcher,
      options: readyOptions({ retryMs: 0, attempts: 20 }),
      first: 0,
      requests: 0,
      ownCache: false,
    },
    info,
    partial: claimed,
    makeRoom: async () => false,
    cacheLost(error) {
      throw error;
    },
  });
  for (let count; (count = await reader.read(bytes.subarray(at))) > 0; ) at += count;
  await reader.close();
  const good = sha256(bytes) === info.sha256;
  if (good) await claimed.commit();
  else await claimed.discard();
  return good;
}

it(`ends in the right bytes, ${seeds} times`, { timeout: 300_000 }, async () => {
  let kills = 0;
  let wrong = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const random = dice(seed);
    const model = randomShards([1 + random(5000), 1 + random(2000)]);
    const { network, fetcher } = badFetch(model, random);
    const cache = new FakeCache();
    const store = seed % 2 === 0 ? memoryStore() : await cacheApiStore(cache as unknown as Cache);
    const loaded = new Set<number>();
    for (let life = 0; loaded.size < 2; life++) {
      expect(life).toBeLessThan(60);
      // The last lives are long, or it would never end.
      const library = new Library(mortal(store, life < 8 ? random(14) : 10_000));
      let writes = life < 8 ? random(40) : Infinity;
      cache.beforeWrite = () => {
        if (writes-- <= 0) throw new Killed('killed');
      };
      try {
        for (const n of [0, 1]) {
          const { sha256: id } = model.info.shards[n]!;
          const before = await store.open(`${id}.safetensors`);
          await before?.close();
          network.asked.length = 0;
          if (await load(library, model, n, fetcher)) loaded.add(n);
          else {
            wrong++;
            loaded.delete(n);
          }
          // What was verified is not fetched again.
          if (before) expect(network.asked).toEqual([]);
        }
      } catch (error) {
        const cause = error instanceof OcelliError ? error.cause : error;
        if (!(cause instanceof Killed)) {
          expect(error).toBeInstanceOf(OcelliError);
          expect((error as OcelliError).param).toMatch(/safetensors$/);
        } else kills++;
        loaded.clear();
      }
      cache.beforeWrite = () => undefined;
      // A shard that counts as verified is right, whatever happened.
      for (const info of model.info.shards) {
        const kept = await readAll(store, shardFile(info));
        if (kept) expect(sha256(kept)).toBe(info.sha256);
      }
    }
  }
  expect(kills).toBeGreaterThan(seeds);
  expect(wrong).toBeGreaterThan(seeds / 10);
});
