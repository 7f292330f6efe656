// Owns what the files of a cache mean: models (a record each) and shards, named by their sha256 and shared by models; a
// shard is a .partial until its hash has held. Called by download.ts, pull.ts and the command. Surprise: a store that fails
// ends nobody's session: what cannot be kept is loaded all the same.
import { OcelliError } from '../../errors.ts';
import { anyHash, sha256Hex } from '../hash.ts';
import { parseManifest } from '../manifest.ts';
import { pieceBytes, type ShardInfo, shardFile } from '../source.ts';
import { type CacheChoice, chooseStore } from './choose.ts';
import { readAll, type Release, type Store, type StoredFile, type StoreKind } from './store.ts';
import { PartialShard } from './partial.ts';

/** What is known about a model, beside its shards. */
export interface ModelRecord {
  /** Without user, password, query and fragment. */
  url: string;
  /** manifest.json as it came. */
  manifest: string;
  etag: string | null;
  /** The sha256 of manifests whose shards could not be had: another one is preferred, if there is one. */
  doubted?: readonly string[];
  /** When it was last opened: milliseconds since 1970. */
  used: number;
}

/** A model in the cache, or an adapter. */
export interface CachedModel {
  /** Of an adapter: its tensors' URL. */
  url: string;
  /** The manifest's; an adapter has its folder's. */
  name: string;
  kind: 'model' | 'adapter';
  /** Bytes that are there, verified or not. */
  bytes: number;
  /** Bytes that all of it takes. */
  totalBytes: number;
  /** Verified shards, of all. */
  shards: number;
  totalShards: number;
  /** When it was last opened. */
  used: Date;
}

/** A shard that was found damaged. */
export interface DamagedShard {
  file: string;
  expected: string;
  found: string;
}

const text = new TextEncoder();
/** How many manifests of a model are remembered as doubtful. */
const doubtedMax = 8;
const recordPrefix = 'model-';

/** 64 bits of FNV-1a: names the record of a URL, which is stored in it and compared. */
function keyOf(url: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of text.encode(url))
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash.toString(16).padStart(16, '0');
}

const recordName = (url: string): string => `${recordPrefix}${keyOf(url)}.json`;
const useName = (url: string): string => `use-${keyOf(url)}`;
const partialName = (sha256: string): string => `${sha256}.partial`;

/** Stands for a file of which only the name is known until it has come. */
const provisional = (name: string, bytes = 2 ** 32 - 1): ShardInfo => ({
  sha256: name,
  bytes,
  holds: [],
});

export class Library {
  readonly #store: Store;
  #using: string | null = null;
  #inUse: Release | null = null;

  constructor(store: Store) {
    this.#store = store;
  }

  get kind(): StoreKind {
    return this.#store.kind;
  }
  get where(): string {
    return this.#store.where;
  }
  free(): Promise<number | null> {
    return this.#store.free();
  }

  // --- models

  async record(url: string): Promise<ModelRecord | null> {
    const record = await this.#readRecord(recordName(url));
    return record?.url === url ? record : null;
  }

  /** Writes the record, as used now. */
  async keep(record: Omit<ModelRecord, 'used'>): Promise<void> {
    const whole: ModelRecord = { ...record, used: Date.now() };
    await this.#store.put(recordName(record.url), text.encode(JSON.stringify(whole)));
  }

  /** Its shards cannot be had: the manifest may be what is wrong, so the next start fetches it anew, elsewhere if it can. */
  async doubt(url: string): Promise<void> {
    const record = await this.record(url);
    if (!record) return;
    const hash = await sha256Hex(text.encode(record.manifest));
    const { doubted = [] } = record;
    if (record.etag === null && doubted.includes(hash)) return;
    const others = doubted.filter((one) => one !== hash);
    const now = { ...record, etag: null, doubted: [...others, hash].slice(-doubtedMax) };
    await this.#store.put(recordName(url), text.encode(JSON.stringify(now)));
  }

  /** Until release(): the model is not removed to make room for others. */
  async hold(url: string): Promise<void> {
    this.#using = url;
    this.#inUse ??= await this.#store.lock(useName(url), { wait: false });
  }
  async release(): Promise<void> {
    if (this.#using === null) return;
    // Whoever had it may have been killed; then nobody else would clear it away.
    const held = this.#inUse ?? (await this.#store.lock(useName(this.#using), { wait: false }));
    this.#using = null;
    this.#inUse = null;
    await held?.();
  }

  async #readRecord(name: string): Promise<ModelRecord | null> {
    const bytes = await readAll(this.#store, name);
    if (!bytes) return null;
    try {
      const record = JSON.parse(new TextDecoder().decode(bytes)) as ModelRecord;
      parseManifest(text.encode(record.manifest));
      return record;
    } catch {
      return null; // damaged, or of a later version
    }
  }

  async #records(): Promise<ModelRecord[]> {
    const found: ModelRecord[] = [];
    for (const { name } of await this.#store.list()) {
      if (!name.startsWith(recordPrefix) || !name.endsWith('.json')) continue;
      const record = await this.#readRecord(name);
      if (record) found.push(record);
    }
    return found;
  }

  // --- shards

  /** A verified shard, or null. One of another length is thrown away, unless it is the manifest that is wrong about it. */
  async shard(info: ShardInfo): Promise<StoredFile | null> {
    const file = await this.#store.open(shardFile(info));
    if (!file || file.bytes === info.bytes) return file;
    const found = await hashOf(file).finally(() => file.close());
    if (found !== info.sha256) await this.#store.remove(shardFile(info));
    return null;
  }

  /** Which of `shards` are not there yet. */
  async missing(shards: readonly ShardInfo[]): Promise<ShardInfo[]> {
    const found: ShardInfo[] = [];
    for (const info of shards) {
      const file = await this.shard(info);
      if (file) await file.close();
      else found.push(info);
    }
    return found;
  }

  /**
   * The right to fetch a shard, once nobody else has it: what has come of it so far. Or the shard itself, where another tab
   * or process has fetched it meanwhile.
   */
  async claim(info: ShardInfo, signal?: AbortSignal): Promise<PartialShard | StoredFile> {
    const release = await this.#store.lock(info.sha256, { signal });
    try {
      const there = await this.shard(info);
      if (there) {
        await release?.();
        return there;
      }
      return await PartialShard.open(this.#store, info, release ?? (async () => undefined));
    } catch (error) {
      await release?.();
      throw error;
    }
  }

  /** Throws a verified shard away that turned out to be damaged. */
  async discard(info: ShardInfo): Promise<void> {
    await this.#store.remove(shardFile(info));
  }

  /**
   * Makes sure that `shards` of the model at `url` can still be written, at the cost of models that have not been used for
   * longest; but of none where that would not let all of this one in. Resolves to how many bytes are lacking all the same: 0
   * when they fit.
   */
  async makeRoom(url: string, shards: readonly ShardInfo[]): Promise<number> {
    if ((await this.#lacking(shards)) <= 0) return 0;
    await this.removeUnused();
    const record = await this.record(url);
    const whole = await this.missing(record ? shardsOf(record) : shards);
    const idle: { record: ModelRecord; release: Release }[] = [];
    try {
      for (const other of await this.#records()) {
        if (other.url === url) continue;
        const release = await this.#store.lock(useName(other.url), { wait: false });
        if (release) idle.push({ record: other, release });
      }
      const evictable = await this.#bytesOfOnly(idle.map((one) => one.record));
      if ((await this.#lacking(whole)) <= evictable) {
        idle.sort((a, b) => a.record.used - b.record.used);
        for (const { record: other } of idle)
          if ((await this.#lacking(shards)) > 0) await this.remove(other.url);
      }
    } finally {
      for (const { release } of idle) await release();
    }
    return Math.max(0, await this.#lacking(shards));
  }

  /** Bytes of what these models have and no other. */
  async #bytesOfOnly(models: readonly ModelRecord[]): Promise<number> {
    const urls = new Set(models.map(({ url }) => url));
    const mine = hashesOf(models);
    const kept = hashesOf((await this.#records()).filter(({ url }) => !urls.has(url)));
    return (await this.#store.list()).reduce((sum, { name, bytes }) => {
      const sha256 = name.slice(0, 64);
      return mine.has(sha256) && !kept.has(sha256) ? sum + bytes : sum;
    }, 0);
  }

  async #lacking(shards: readonly ShardInfo[]): Promise<number> {
    const free = await this.#store.free();
    if (free === null) return 0;
    let needed = 0;
    for (const info of shards) {
      const partial = await this.#store.open(partialName(info.sha256));
      needed += info.bytes - Math.min(info.bytes, partial?.bytes ?? 0);
      await partial?.close();
    }
    return needed - free;
  }

  // --- files that no manifest vouches for: an adapter's

  /** The file with this hash, or null; one that turns out to be another is thrown away. */
  async bytesOf(sha256: string): Promise<Uint8Array | null> {
    const name = `${sha256}.safetensors`;
    const bytes = await readAll(this.#store, name);
    if (!bytes || (await sha256Hex(bytes)) === sha256) return bytes;
    await this.#store.remove(name);
    return null;
  }

  /** The right to fetch a file whose hash is not known yet, once nobody else has it. `name`: 64 hex digits. */
  async stage(name: string, signal?: AbortSignal): Promise<PartialShard> {
    return (await this.claim(provisional(name), signal)) as PartialShard;
  }

  /** makeRoom() for `bytes` of what is staged as `name`; resolves to whether there is. */
  async makeRoomForStage(url: string, name: string, bytes: number): Promise<boolean> {
    return (await this.makeRoom(url, [provisional(name, bytes)])) === 0;
  }

  /** Keeps a small file. */
  async put(info: ShardInfo, bytes: Uint8Array): Promise<void> {
    await this.#store.put(shardFile(info), bytes);
  }

  // --- for people

  async list(): Promise<CachedModel[]> {
    const files = new Map((await this.#store.list()).map(({ name, bytes }) => [name, bytes]));
    const models = (await this.#records()).map((record): CachedModel => {
      const { name, shards, kind = 'model' } = parseManifest(text.encode(record.manifest));
      const verified = shards.filter((info) => files.has(shardFile(info)));
      const sizes = shards.map(
        (info) => files.get(shardFile(info)) ?? files.get(partialName(info.sha256)) ?? 0,
      );
      return {
        url: record.url,
        name,
        kind,
        bytes: sizes.reduce((sum, bytes) => sum + bytes, 0),
        totalBytes: shards.reduce((sum, { bytes }) => sum + bytes, 0),
        shards: verified.length,
        totalShards: shards.length,
        used: new Date(record.used),
      };
    });
    return models.sort((a, b) => b.used.getTime() - a.used.getTime());
  }

  /** Bytes of all files, shared ones once. */
  async size(): Promise<number> {
    return (await this.#store.list()).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Hashes all shards of a model, or of all models, and throws the damaged ones away; the next start fetches them. */
  async verify(
    url?: string,
    progress?: (bytes: number, total: number) => void,
    signal?: AbortSignal,
  ): Promise<{ checked: number; damaged: DamagedShard[] }> {
    const shards = new Map<string, ShardInfo>();
    for (const record of await this.#records()) {
      if (url !== undefined && record.url !== url) continue;
      for (const info of shardsOf(record)) shards.set(info.sha256, info);
    }
    const damaged: DamagedShard[] = [];
    const all = [...shards.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    let checked = 0;
    let done = 0;
    for (const info of shards.values()) {
      const file = await this.#store.open(shardFile(info));
      if (file) {
        const moved = (bytes: number): void => {
          signal?.throwIfAborted();
          progress?.(done + Math.min(bytes, info.bytes), all);
        };
        const found = await hashOf(file, moved).finally(() => file.close());
        checked++;
        if (found !== info.sha256) {
          damaged.push({ file: shardFile(info), expected: info.sha256, found });
          await this.discard(info);
        }
      }
      done += info.bytes;
      progress?.(done, all);
    }
    return { checked, damaged };
  }

  /** Removes a model, but not the shards that others have too. Resolves to the bytes that this freed. */
  async remove(url: string): Promise<number> {
    const record = await this.record(url);
    if (!record) return 0;
    const before = await this.size();
    await this.#store.remove(recordName(url));
    const others = await this.#needed();
    for (const { sha256 } of shardsOf(record))
      if (!others.has(sha256)) await this.#removeShard(sha256);
    return before - (await this.size());
  }

  /** Removes what no model needs any more: shards of replaced manifests, what killed processes left. */
  async removeUnused(): Promise<number> {
    const needed = await this.#needed();
    let freed = 0;
    for (const { name, bytes } of await this.#store.list()) {
      const sha256 = /^([0-9a-f]{64})\.(safetensors|partial|from)$/.exec(name)?.[1];
      if (!(sha256 ? !needed.has(sha256) : name.endsWith('.tmp'))) continue;
      // Somebody may be fetching it at this moment, before the record is there.
      const release = sha256 ? await this.#store.lock(sha256, { wait: false }) : null;
      if (sha256 && !release) continue;
      await this.#store.remove(name);
      await release?.();
      freed += bytes;
    }
    return freed;
  }

  async #needed(): Promise<Set<string>> {
    return hashesOf(await this.#records());
  }

  async #removeShard(sha256: string): Promise<void> {
    for (const end of ['safetensors', 'partial', 'from'])
      await this.#store.remove(`${sha256}.${end}`);
  }
}

/** The sha256 of all of a file, in hex; `moved` is told how much has been read. */
async function hashOf(file: StoredFile, moved?: (bytes: number) => void): Promise<string> {
  const hash = (await anyHash())(file.bytes);
  const piece = new Uint8Array(Math.min(pieceBytes, file.bytes));
  for (let at = 0; at < file.bytes; ) {
    const count = await file.read(at, piece);
    if (count === 0) break;
    hash.update(piece.subarray(0, count));
    at += count;
    moved?.(at);
  }
  return await hash.hex();
}

function shardsOf(record: ModelRecord): ShardInfo[] {
  return parseManifest(text.encode(record.manifest)).shards;
}

function hashesOf(records: readonly ModelRecord[]): Set<string> {
  return new Set(records.flatMap((record) => shardsOf(record).map(({ sha256 }) => sha256)));
}

/** The library of a choice of cache; null for none. Only a choice by name rejects. */
export async function openLibrary(choice?: CacheChoice): Promise<Library | null> {
  const store = await chooseStore(choice);
  return store ? new Library(store) : null;
}

/** A cache that may fail without ending anybody's work: from then on it is left out. */
export interface CarefulCache {
  /** `work` on the cache; `otherwise` where there is none, or it fails. */
  try<T>(otherwise: T, work: (library: Library) => Promise<T>): Promise<T>;
  /** It has failed elsewhere. */
  lost(error: OcelliError): void;
  readonly error: OcelliError | null;
}

export function careful(library: () => Promise<Library | null>): CarefulCache {
  let failed: OcelliError | null = null;
  return {
    async try(otherwise, work) {
      const found = await library();
      if (!found || failed) return otherwise;
      try {
        return await work(found);
      } catch (error) {
        if (!isCacheError(error)) throw error;
        failed = error;
        return otherwise;
      }
    },
    lost: (error) => void (failed ??= error),
    get error() {
      return failed;
    },
  };
}

/** Whether an error is about a cache and not about what was to be kept in it. */
function isCacheError(error: unknown): error is OcelliError {
  return (
    error instanceof OcelliError && (error.code === 'cache_full' || error.code === 'cache_unusable')
  );
}
