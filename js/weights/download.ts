// Owns a model behind URLs as a source of bytes: its manifest, its shards through the cache or over the network, and what
// becomes of them. Made by source.ts. Surprise: two threads may each have one for the same model: the engine's asks for the
// manifest, the one that reads weights for shards; they meet in the cache only.
import { OcelliError } from '../errors.ts';
import { Aborts } from './aborts.ts';
import { careful, type Library, type ModelRecord, openLibrary } from './cache/library.ts';
import { PartialShard } from './cache/partial.ts';
import type { StoredFile } from './cache/store.ts';
import { type FetchedManifest, manifestsOf } from './download_manifest.ts';
import { readyOptions, type SourceOptions } from './download_options.ts';
import { DownloadReader } from './download_reader.ts';
import type { Network } from './download_request.ts';
import { leaveMirror, mirrorsFrom } from './download_retry.ts';
import { budgetTooSmall, cacheFull, reasonOf, shownUrl } from './failures.ts';
import { sha256Hex } from './hash.ts';
import { parseManifest } from './manifest.ts';
import { DamagedShard } from './settle.ts';
import type { Fetcher } from './socket_fetch.ts';
import {
  type ShardInfo,
  type ShardReader,
  shardFile,
  type ShardSource,
  streamOf,
} from './source.ts';

/** A source with what `ocelli pull` wants to know. */
export interface DownloadSource extends ShardSource {
  settle(index: number, info: ShardInfo, good: boolean): Promise<boolean>;
  otherManifest(error: unknown, signal?: AbortSignal): Promise<Uint8Array | null>;
  close(): Promise<void>;
  /** What is kept where; null without a cache. */
  library(): Promise<Library | null>;
  /** Why the cache could not be used, or not for every shard. */
  readonly cacheError: OcelliError | null;
}

interface HandedOut {
  reader: ShardReader;
  partial(): PartialShard | null;
  /** It is known to be useless; settle() will hear of it. */
  damaged: boolean;
}

/** From a cache: one is read while another one's hash is computed. */
const cachedParallel = 2;

/** How often a shard with a wrong hash is fetched again, at least; each mirror has its turn. */
const againLeast = 2;

/** The folder of the model: with or without "manifest.json" and "/" at its end. */
export function modelUrl(text: string | URL): URL {
  return new URL(String(text).replace(/\/?(manifest\.json)?([?#].*)?$/, '/$2'));
}

/** A model at `text`; throws when an option is out of range. */
export function downloadSource(
  text: string,
  fetcher: Fetcher,
  options: SourceOptions = {},
): DownloadSource {
  const ready = readyOptions(options);
  const mirrors = [text, ...ready.mirrors].map(modelUrl);
  const url = shownUrl(mirrors[0] as URL);
  const network: Network = {
    mirrors,
    fetch: fetcher,
    options: ready,
    first: 0,
    requests: 0,
    ownCache: false,
  };
  /** Shards that have been handed out, until it is known what they are worth. */
  const open = new Map<number, HandedOut>();
  /** By shard: how often its bytes were wrong, and whose were the first of them. */
  const rejections = new Map<number, { times: number; mirror: number }>();
  /** For one shard there was no room; there may be for others. */
  let noRoom: OcelliError | null = null;
  let missing: readonly ShardInfo[] | null = null;
  let closing: Promise<void> | undefined;
  /** What is being handed out, settled or let go at this moment. */
  const underWay = new Set<Promise<unknown>>();
  const claims = new Set<Aborts>();

  let opening: Promise<Library | null> | undefined;
  const library = (): Promise<Library | null> =>
    (opening ??= openLibrary(options.cache).then((found) => {
      network.ownCache = found?.kind === 'opfs' || found?.kind === 'cache-api';
      return found;
    }));

  const manifests = manifestsOf(network);
  const cache = careful(library);
  const cached = cache.try;

  const source: DownloadSource = {
    library,
    get cacheError() {
      return cache.error ?? noRoom;
    },
    get parallel() {
      return missing && missing.length === 0 ? cachedParallel : ready.parallel;
    },

    async manifest(signal) {
      const known = await cached(null, (found) => found.record(url));
      const fetched = await manifests.first(known, signal);
      await begin(fetched, known);
      return fetched.bytes;
    },
    async otherManifest(error, signal) {
      const fetched = await manifests.other(error, signal);
      if (!fetched) return null;
      closing = undefined;
      rejections.clear();
      await begin(fetched, await cached(null, (found) => found.record(url)));
      return fetched.bytes;
    },

    async open(index, info, signal) {
      if (closing) throw closed();
      return await awaited(openShard(index, info, signal));
    },
    shard: async (index, info, signal) =>
      streamOf(await (source.open as NonNullable<ShardSource['open']>)(index, info, signal)),

    settle: (index, info, good) => awaited(settleShard(index, info, good)),

    close: () => (closing ??= close()),
  };

  /** With this manifest; `known`: what the cache has of the model. */
  async function begin(fetched: FetchedManifest, known: ModelRecord | null): Promise<void> {
    const { bytes, etag, redirected } = fetched;
    const { shards } = parseManifest(bytes);
    missing = await cached(shards, (found) => found.missing(shards));
    checkBudget(missing, network, redirected ? 2 : 1);
    await cached(undefined, async (found) => {
      await found.hold(url);
      const hash = await sha256Hex(bytes);
      // One whose shards are all there is right after all.
      const doubted = known?.doubted?.filter((one) => one !== hash || missing?.length !== 0);
      const record = { url, etag, manifest: new TextDecoder().decode(bytes) };
      await found.keep({ ...record, ...(doubted && { doubted }) });
      if (missing && missing.length > 0) await found.makeRoom(url, missing);
    });
  }

  async function openShard(
    index: number,
    info: ShardInfo,
    signal: AbortSignal | undefined,
  ): Promise<ShardReader> {
    await letGo(index);
    const there = await cached(null, (found) => found.shard(info));
    if (there) return await hold(index, info, storedReader(there, info), () => null);
    const claimed = await cached<PartialShard | StoredFile | null>(null, async (found) => {
      const lacking = await found.makeRoom(url, [info]);
      if (lacking === 0) return await claim(found, info, signal);
      noRoom ??= cacheFull(found.where, `${shardFile(info)}: ${lacking} more bytes are needed`);
      return null;
    });
    if (claimed && !(claimed instanceof PartialShard))
      return await hold(index, info, storedReader(claimed, info), () => null);
    const wrong = rejections.get(index);
    const reader = new DownloadReader(
      {
        network,
        info,
        partial: claimed,
        mirrors: wrong && mirrorsFrom(network, wrong.mirror + 1),
        makeRoom: () => cached(false, async (found) => (await found.makeRoom(url, [info])) === 0),
        cacheLost: cache.lost,
      },
      signal,
    );
    return await hold(index, info, reader, () => reader.partial);
  }

  /** Closing waits for it. */
  async function awaited<T>(work: Promise<T>): Promise<T> {
    underWay.add(work);
    return await work.finally(() => underWay.delete(work));
  }

  async function settleShard(index: number, info: ShardInfo, good: boolean): Promise<boolean> {
    const one = open.get(index);
    open.delete(index);
    const partial = one?.partial() ?? null;
    if (good) {
      if (cache.error) await partial?.leave();
      else await cached(undefined, async () => partial?.commit());
      return false;
    }
    if (!one) return false; // it never came, and that was the reason
    if (partial) await partial.discard().catch(() => undefined);
    await cached(undefined, (found) => found.discard(info));
    if (!(one.reader instanceof DownloadReader)) return true; // the cache was damaged
    const { mirror } = one.reader;
    leaveMirror(network, mirror);
    const times = (rejections.get(index)?.times ?? 0) + 1;
    rejections.set(index, { times, mirror });
    const again = times <= Math.max(againLeast, mirrors.length);
    if (!again) await doubt();
    return again;
  }

  /** May wait for who else fetches it: until this source is closed. */
  async function claim(
    found: Library,
    info: ShardInfo,
    signal: AbortSignal | undefined,
  ): Promise<PartialShard | StoredFile> {
    if (closing) throw closed();
    const mine = new Aborts(signal);
    claims.add(mine);
    try {
      return await mine.within((own) => found.claim(info, own));
    } finally {
      mine.end();
      claims.delete(mine);
    }
  }

  const close = async (): Promise<void> => {
    for (const index of open.keys()) void letGo(index);
    for (const one of claims) one.abort(closed());
    await Promise.allSettled(underWay); // what is still handed out is given up at once
    await cached(undefined, (found) => found.release()).catch(() => undefined);
  };

  /** The manifest may be what is wrong. */
  const doubt = (): Promise<void> => cached(undefined, (found) => found.doubt(url));

  /** A reader that was handed out and is of no use any more: what has come of it stays in the cache. */
  async function letGo(index: number): Promise<void> {
    const one = open.get(index);
    if (!one) return;
    open.delete(index);
    const left = one.reader.close().then(() => one.partial()?.leave());
    await awaited(left.catch(() => undefined));
  }

  /** Hands a reader out. Closed before its end, or failed, it leaves what it has. */
  async function hold(
    index: number,
    info: ShardInfo,
    reader: ShardReader,
    partial: () => PartialShard | null,
  ): Promise<ShardReader> {
    const mine: HandedOut = { reader, partial, damaged: false };
    open.set(index, mine);
    const giveUp = async (): Promise<void> => {
      if (open.get(index) === mine) await letGo(index);
    };
    if (closing) await giveUp();
    let come = 0;
    return {
      get fetched() {
        return reader.fetched ?? 0;
      },
      async read(into) {
        try {
          const count = await reader.read(into);
          come += count;
          return count;
        } catch (error) {
          mine.damaged = error instanceof DamagedShard;
          if (!mine.damaged) {
            if (error instanceof OcelliError) await doubt();
            await giveUp();
          }
          throw error;
        }
      },
      async close() {
        if (come < info.bytes && !mine.damaged) await giveUp();
        else await reader.close();
      },
    };
  }

  return source;
}

const closed = (): Error => new Error('the source of the weights is closed');

/** A cached shard from its beginning. */
function storedReader(file: StoredFile, info: ShardInfo): ShardReader {
  let at = 0;
  return {
    async read(into) {
      if (at === info.bytes) return 0;
      const damaged = (reason: string): never => {
        throw new DamagedShard(shardFile(info), `the cached file ${reason}`);
      };
      const count = await file
        .read(at, into)
        .catch((error: unknown) => damaged(`cannot be read: ${reasonOf(error)}`));
      if (count === 0) damaged(`ends after byte ${at} of ${info.bytes}`);
      at += count;
      return count;
    },
    close: () => file.close(),
  };
}

/** Before the first shard is fetched: whether there are requests enough for all that are missing. */
function checkBudget(
  missing: readonly ShardInfo[],
  { options, requests }: Network,
  perShard: number,
): void {
  const { requestsMax } = options;
  const needed = requests + perShard * missing.length;
  if (needed <= requestsMax) return;
  const bytes = missing.reduce((sum, info) => sum + info.bytes, 0);
  const shards = Math.floor((requestsMax - requests) / perShard);
  const shardMib = Math.ceil(bytes / 2 ** 20 / Math.max(1, shards - 1));
  throw budgetTooSmall(needed, requestsMax, missing.length, shardMib);
}
