// Owns a shard on its way into the cache: what has come of it, where it came from, and the two ways it can end. Made by
// library.ts, used by download_reader.ts. Surprise: what came in earlier runs is read back like anything else, so it passes
// the hash with the rest; nothing is believed because it lies here.
import type { OcelliError } from '../../errors.ts';
import { type ShardInfo, shardFile } from '../source.ts';
import { readAll, type Release, type Store, type StoredFile, type StoreWriter } from './store.ts';

/** By which a server recognises what it sent before. */
export interface Origin {
  url: string;
  etag: string;
}

export class PartialShard {
  readonly #store: Store;
  readonly #info: ShardInfo;
  readonly #release: Release;
  /** How much came in earlier runs. */
  before: number;
  /** Where the last of it came from. */
  origin: Origin | null;
  #old: StoredFile | null;
  #writer: StoreWriter | null = null;
  /** The last write; whatever ends this waits for it. */
  #writing: Promise<void> | undefined;
  #ended = false;
  #at: number;

  private constructor(
    store: Store,
    info: ShardInfo,
    release: Release,
    old: StoredFile | null,
    origin: Origin | null,
  ) {
    this.#store = store;
    this.#info = info;
    this.#release = release;
    this.#old = old;
    this.before = Math.min(old?.bytes ?? 0, info.bytes);
    this.#at = this.before;
    this.origin = origin;
  }

  static async open(store: Store, info: ShardInfo, release: Release): Promise<PartialShard> {
    const old = await store.open(nameOf(info));
    const origin = old ? await readAll(store, originOf(info)).catch(() => null) : null;
    return new PartialShard(store, info, release, old, origin && parsed(origin));
  }

  /** What came in earlier runs; all of it is read before anything is written. */
  async read(at: number, into: Uint8Array): Promise<number> {
    return (await this.#old?.read(at, into.subarray(0, this.before - at))) ?? 0;
  }

  /** What lies from `at` on cannot be read: it is written again. Only before the first write(). */
  cut(at: number): void {
    this.before = at;
    this.#at = at;
  }

  /** Nothing of what has come is of use: the next write() is its first byte. */
  async restart(): Promise<void> {
    await this.#closeFiles();
    this.origin = null;
    this.cut(0);
    await this.#store.remove(originOf(this.#info));
  }

  /** Adds to it. After an error it is as before the call. Where it came from is remembered when it is new. */
  write(piece: Uint8Array, origin: Origin | null): Promise<void> {
    this.#writing = this.#write(piece, origin);
    return this.#writing;
  }

  async #write(piece: Uint8Array, origin: Origin | null): Promise<void> {
    if (this.#ended) throw new Error('the shard has been let go');
    if (!this.#writer) {
      await this.#closeOld();
      this.#writer = await this.#store.append(nameOf(this.#info), this.#at);
    }
    if (origin && (origin.etag !== this.origin?.etag || origin.url !== this.origin.url)) {
      this.origin = origin;
      const bytes = new TextEncoder().encode(JSON.stringify(origin));
      await this.#store.put(originOf(this.#info), bytes);
    }
    try {
      await this.#writer.write(piece);
      this.#at += piece.length;
    } catch (error) {
      const writer = this.#writer;
      this.#writer = null;
      await writer.close().catch(() => undefined);
      throw error;
    }
  }

  /** Its hash has held: from now on it is the shard, or the one that it turned out to be. */
  async commit(info: ShardInfo = this.#info): Promise<void> {
    try {
      await this.#close();
      await this.#store.rename(nameOf(this.#info), shardFile(info));
      await this.#store.remove(originOf(this.#info));
    } finally {
      await this.#release();
    }
  }

  /** Its hash has not held, or there is no room for it. */
  async discard(): Promise<void> {
    try {
      await this.#close().catch(() => undefined);
      await this.#store.remove(nameOf(this.#info));
      await this.#store.remove(originOf(this.#info));
    } finally {
      await this.#release();
    }
  }

  /** It stays as it is, for the next time. */
  async leave(): Promise<void> {
    try {
      await this.#close();
    } finally {
      await this.#release();
    }
  }

  async #close(): Promise<void> {
    this.#ended = true;
    await this.#closeFiles();
  }

  async #closeFiles(): Promise<void> {
    await this.#writing?.catch(() => undefined);
    await this.#closeOld();
    const writer = this.#writer;
    this.#writer = null;
    await writer?.close();
  }

  async #closeOld(): Promise<void> {
    const old = this.#old;
    this.#old = null;
    await old?.close();
  }
}

/**
 * Adds `piece` to `partial`, once room has been made for it where there was none. `lost` is told when the cache cannot take
 * it; then what it had is gone too.
 */
export async function keepOn(
  partial: PartialShard,
  piece: Uint8Array,
  origin: Origin | null,
  makeRoom: () => Promise<boolean>,
  lost: (error: OcelliError) => void,
): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await partial.write(piece, origin);
    } catch (error) {
      const known = error as OcelliError;
      if (tries === 0 && known.code === 'cache_full' && (await makeRoom())) continue;
      lost(known);
      return await partial.discard().catch(() => undefined);
    }
  }
}

const nameOf = ({ sha256 }: ShardInfo): string => `${sha256}.partial`;
const originOf = ({ sha256 }: ShardInfo): string => `${sha256}.from`;

function parsed(bytes: Uint8Array): Origin | null {
  try {
    const { url, etag } = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Origin>;
    return typeof url === 'string' && typeof etag === 'string' ? { url, etag } : null;
  } catch {
    return null;
  }
}
