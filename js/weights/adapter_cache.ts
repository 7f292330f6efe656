// Owns what the cache keeps of an adapter. Called by adapter_files.ts. Surprise: to the cache it is a model like any other:
// no manifest came with its two files, so one is written of what came, with their hashes and by what their server knows
// them; counting, verifying, evicting and removing need to know no more.
import type { CacheChoice } from './cache/choose.ts';
import { careful, type Library, openLibrary } from './cache/library.ts';
import type { PartialShard } from './cache/partial.ts';
import type { Keeping, Validators } from './download_file.ts';
import { shownUrl } from './failures.ts';
import { sha256Hex } from './hash.ts';
import { parseManifest } from './manifest.ts';
import type { ShardInfo } from './source.ts';

export const configFile = 'adapter_config.json';
export const tensorsFile = 'adapter_model.safetensors';
export type AdapterFile = typeof configFile | typeof tensorsFile;

/** One of an adapter's files. */
export interface AdapterBytes extends Validators {
  content: Uint8Array;
  sha256: string;
}

export interface AdapterCache {
  /** Whether the host's own HTTP cache should stay out of it. */
  readonly ownCache: boolean;
  /** What lies here of `file`, or of the bytes with the hash `pin`; null: nothing that is whole. */
  known(file: AdapterFile, pin: string | undefined): Promise<AdapterBytes | null>;
  /** Where the tensors go as they come; null where nothing is kept. */
  readonly keeping: Keeping | null;
  /** The tensors that came are not the ones that were wanted. */
  discard(): Promise<void>;
  /** From now on these two are the adapter. */
  keep(config: AdapterBytes, tensors: AdapterBytes): Promise<void>;
  close(): Promise<void>;
}

/** By which the cache knows the adapter in `folder`. */
export const adapterUrl = (folder: URL): string => shownUrl(new URL(tensorsFile, folder));

/** The adapter in `folder`, for one reader at a time: others wait, in whichever tab or process. */
export async function openAdapterCache(
  folder: URL,
  choice: CacheChoice | undefined,
  signal?: AbortSignal,
): Promise<AdapterCache> {
  const url = adapterUrl(folder);
  const library = await openLibrary(choice);
  const cache = careful(async () => library);
  const stage = await sha256Hex(new TextEncoder().encode(url));
  let partial = await cache.try<PartialShard | null>(null, async (found) => {
    await found.hold(url);
    return await found.stage(stage, signal);
  });
  const record = await cache.try(null, (found) => found.record(url));
  const files = record && parseManifest(new TextEncoder().encode(record.manifest)).shards;
  /** The partial file, which whoever gets it ends. */
  const taken = (): PartialShard | null => {
    const one = partial;
    partial = null;
    return one;
  };
  return {
    ownCache: library?.kind === 'opfs' || library?.kind === 'cache-api',
    async known(file, pin) {
      const info = files?.find(({ holds }) => holds.includes(file)) as
        | (ShardInfo & Validators)
        | undefined;
      const sha256 = pin ?? info?.sha256;
      if (sha256 === undefined) return null;
      const content = await cache.try(null, (found) => found.bytesOf(sha256));
      if (!content) return null;
      const { etag = null, modified = null } = sha256 === info?.sha256 ? info : {};
      return { content, sha256, etag, modified, bytes: content.length };
    },
    keeping: partial && {
      partial,
      makeRoom: (bytes) => cache.try(false, (found) => found.makeRoomForStage(url, stage, bytes)),
      lost(error) {
        partial = null;
        cache.lost(error);
      },
    },
    discard: async () => cache.try(undefined, async () => taken()?.discard()),
    async keep(config, tensors) {
      await cache.try(undefined, async (found) => {
        const shards = [shardOf(configFile, config), shardOf(tensorsFile, tensors)] as const;
        await keepFile(found, shards[0], config.content);
        const come = taken();
        const whole = await found.missing([shards[1]]);
        if (whole.length === 0) await come?.leave();
        else if (come) await come.commit(shards[1]);
        else return; // there was no room
        const name = decodeURIComponent(folder.pathname.split('/').at(-2) ?? '') || folder.host;
        const manifest = JSON.stringify({ name, kind: 'adapter', shards });
        await found.keep({ url, etag: null, manifest });
      });
    },
    async close() {
      await taken()?.leave();
      await cache.try(undefined, (found) => found.release());
    },
  };
}

const shardOf = (file: AdapterFile, of: AdapterBytes): ShardInfo & Omit<Validators, 'bytes'> => ({
  sha256: of.sha256,
  bytes: of.bytes,
  holds: [file],
  etag: of.etag,
  modified: of.modified,
});

async function keepFile(library: Library, info: ShardInfo, content: Uint8Array): Promise<void> {
  if ((await library.missing([info])).length > 0) await library.put(info, content);
}
