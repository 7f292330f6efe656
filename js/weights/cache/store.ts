// Owns what a place for files must be able to do, small enough for the Cache API, OPFS, a folder and plain memory. Used by
// library.ts, which knows what the files mean. Surprise: nothing here is trusted to be whole: a tab or process may be
// killed between any two calls, and the hash decides what a file is worth.

export type StoreKind = 'fs' | 'opfs' | 'cache-api' | 'memory';

export interface Store {
  readonly kind: StoreKind;
  /** Where it is, for people. */
  readonly where: string;
  /** The file, or null when there is none. */
  open(name: string): Promise<StoredFile | null>;
  /** Opens a file, made if need be, to be written from byte `at` on; what lies behind is cut off. */
  append(name: string, at: number): Promise<StoreWriter>;
  /** A small file as a whole: afterwards it has either the old bytes or the new ones. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Atomic; replaces what is there. */
  rename(from: string, to: string): Promise<void>;
  /** No error when there is none. */
  remove(name: string): Promise<void>;
  /** All files; empty where a host cannot tell. */
  list(): Promise<{ name: string; bytes: number }[]>;
  /** How many bytes can still be written, or null when nobody knows. */
  free(): Promise<number | null>;
  /**
   * Takes the lock `name`, across tabs and processes, waiting for it unless told otherwise. Resolves to what releases it,
   * or to null when it is taken and `wait` is false; rejects with the signal's reason.
   */
  lock(name: string, options?: LockOptions): Promise<Release | null>;
}

export interface LockOptions {
  wait?: boolean;
  signal?: AbortSignal | undefined;
}

export type Release = () => Promise<void>;

/** A file for reading. */
export interface StoredFile {
  readonly bytes: number;
  /** Fills the front of `into` with what lies at `at`; resolves to how many bytes came. */
  read(at: number, into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** Rejects with an OcelliError "cache_full" when there is no room. */
export interface StoreWriter {
  write(piece: Uint8Array): Promise<void>;
  /** What was written is there for good. */
  close(): Promise<void>;
}

/** The whole of a small file, or null. */
export async function readAll(store: Store, name: string): Promise<Uint8Array | null> {
  const file = await store.open(name);
  if (!file) return null;
  try {
    const bytes = new Uint8Array(file.bytes);
    for (let at = 0; at < bytes.length; ) {
      const count = await file.read(at, bytes.subarray(at));
      if (count === 0) return null;
      at += count;
    }
    return bytes;
  } finally {
    await file.close();
  }
}
