// Owns fetching a model into the cache without an engine. Called by users and by `ocelli pull`. Surprise: unlike an engine,
// which can do without, a cache that cannot be used ends it: keeping is all it is for.
import { OcelliError } from '../errors.ts';
import { Aborts } from './aborts.ts';
import { askToPersist } from './cache/persist.ts';
import { type DownloadSource, downloadSource, modelUrl } from './download.ts';
import type { SourceOptions } from './download_options.ts';
import { cacheFull, shownUrl } from './failures.ts';
import { anyHash } from './hash.ts';
import { parseManifest } from './manifest.ts';
import { moveShard } from './move.ts';
import { Meter, type ProgressCallback } from './progress.ts';
import { untilRight } from './settle.ts';
import { type Fetcher, socketFetch } from './socket_fetch.ts';
import { type ShardInfo, shardFile } from './source.ts';

export interface PullOptions extends SourceOptions {
  fetch?: Fetcher;
  /** Ends it: rejects with the signal's reason; what has come stays for the next time. */
  signal?: AbortSignal;
  onProgress?: ProgressCallback;
}

export interface Pulled {
  url: string;
  /** The manifest's name. */
  name: string;
  /** Bytes of all shards. */
  bytes: number;
  /** Bytes that came over the network now. */
  fetched: number;
  shards: number;
  /** Where it is kept. */
  where: string;
}

/**
 * Brings the model at `url` into the cache; what is there already is not fetched again. Rejects with an OcelliError that
 * names the file: "file_not_found", "access_denied", "download_failed", "download_stalled", "redirect_loop",
 * "invalid_manifest", "manifest_hash_mismatch", "invalid_shard", "shard_hash_mismatch", "request_budget_exceeded",
 * "cache_full", "cache_unusable".
 */
export async function pull(url: string | URL, options: PullOptions = {}): Promise<Pulled> {
  const { fetch: fetcher = socketFetch, signal, onProgress, ...how } = options;
  signal?.throwIfAborted();
  const source = downloadSource(String(url), fetcher, how);
  try {
    const library = await source.library();
    if (!library)
      throw new OcelliError(400, 'cache_unusable', 'there is no cache to keep it in', 'cache');
    void askToPersist(how.cache);
    const where = shownUrl(modelUrl(url));
    let fetched = 0;
    let manifest = await source.manifest(signal);
    for (;;) {
      const { name, shards } = parseManifest(manifest);
      const missing = await library.missing(shards);
      const lacking = await library.makeRoom(where, missing);
      if (source.cacheError) throw source.cacheError;
      if (lacking > 0) throw cacheFull(library.where, `${name}: ${lacking} more bytes are needed`);
      const meter = new Meter(new Map(shards.entries()), onProgress);
      try {
        await bringAll(source, shards, missing, meter, signal);
        fetched += meter.fetched;
        const bytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
        return { url: where, name, bytes, fetched, shards: shards.length, where: library.where };
      } catch (error) {
        const other = await source.otherManifest(error, signal);
        if (!other) throw error;
        fetched += meter.fetched;
        manifest = other;
      }
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    await source.close();
  }
}

/** Those of `shards` that are missing come into the cache. Nothing is under way any more when it rejects. */
async function bringAll(
  source: DownloadSource,
  shards: readonly ShardInfo[],
  missing: readonly ShardInfo[],
  meter: Meter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ending = new Aborts(signal);
  const makeHash = await anyHash();
  const bring = async (index: number, info: ShardInfo): Promise<void> => {
    const attempt = async (): Promise<void> => {
      meter.again(index);
      const hash = makeHash(info.bytes);
      const room = { bytes: info.bytes, view: () => null, write: () => undefined };
      const progress = (bytes: number, fetched: number): void => meter.moved(index, bytes, fetched);
      await ending.within((own) =>
        moveShard(source, index, info, room, { hash, progress, signal: own }),
      );
      const found = await hash.hex();
      if (found !== info.sha256) throw hashMismatch(info, found);
    };
    let saved: Promise<unknown> | undefined;
    await untilRight(
      (good) => source.settle(index, info, good),
      attempt,
      (one) => {
        saved = one;
      },
    );
    await saved;
    if (source.cacheError) throw source.cacheError;
  };

  const wanted = new Set(missing.map(({ sha256 }) => sha256));
  const queue: (() => Promise<void>)[] = [];
  for (const [index, info] of shards.entries()) {
    if (wanted.has(info.sha256)) {
      queue.push(async () => {
        await bring(index, info);
        meter.placed(index);
      });
    } else meter.placed(index);
  }
  const lane = async (): Promise<void> => {
    try {
      for (let next = queue.shift(); next; next = queue.shift()) await next();
    } catch (error) {
      ending.abort(error);
      throw error;
    }
  };
  try {
    const lanes = Array.from({ length: source.parallel ?? 1 }, lane);
    await Promise.allSettled(lanes);
    await Promise.all(lanes);
    meter.tell();
  } finally {
    ending.end();
  }
}

function hashMismatch(info: ShardInfo, found: string): OcelliError {
  const file = shardFile(info);
  const message = `shard ${file} has the sha256 ${found}, the manifest says ${info.sha256}: damaged`;
  return new OcelliError(500, 'shard_hash_mismatch', message, file);
}
