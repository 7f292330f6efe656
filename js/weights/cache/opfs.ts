// Owns the cache in a browser's origin-private file system. Called by choose.ts. Surprise: in workers files are written
// and read through synchronous handles, straight to and from any memory; the page itself has none, so there a file being
// written is closed every few megabytes, since what is not closed is lost with the page.
import { OcelliError } from '../../errors.ts';
import { cacheFull, cacheUnusable } from '../failures.ts';
import { webLock } from './locks.ts';
import type { Store, StoredFile, StoreWriter } from './store.ts';

interface SyncHandle {
  read(into: Uint8Array, options: { at: number }): number;
  write(from: Uint8Array, options: { at: number }): number;
  truncate(bytes: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
/** What the library of types does not have yet. */
type Handle = Omit<FileSystemFileHandle, 'createSyncAccessHandle'> & {
  move?(name: string): Promise<void>;
  createSyncAccessHandle?(options?: { mode: 'read-only' | 'readwrite' }): Promise<SyncHandle>;
};
type Directory = FileSystemDirectoryHandle & {
  entries(): AsyncIterable<[string, FileSystemHandle]>;
};

const where = 'in this browser (OPFS)';
/** Without synchronous handles: how much may be lost when the page goes. */
const sliceBytes = 16 << 20;

const named = (error: unknown): string => (error instanceof Error ? error.name : '');

function failing(doing: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof OcelliError) throw error;
    throw named(error) === 'QuotaExceededError'
      ? cacheFull(where, doing, error)
      : cacheUnusable(where, doing, error);
  };
}

/** Rejects where there is no such file system, or none that can rename. */
export async function opfsStore(): Promise<Store> {
  const root = await navigator.storage.getDirectory();
  const folder = (await root.getDirectoryHandle('ocelli', { create: true })) as Directory;
  const find = async (name: string, create = false): Promise<Handle | null> => {
    try {
      return (await folder.getFileHandle(name, { create })) as unknown as Handle;
    } catch (error) {
      if (named(error) === 'NotFoundError') return null;
      return failing(`opening ${name}`)(error);
    }
  };
  const made = async (name: string): Promise<Handle> =>
    (await find(name, true)) ?? failing(`making ${name}`)(new Error('it vanished'));
  if (typeof (await made('.probe')).move !== 'function')
    throw new Error('this file system cannot rename');

  return {
    kind: 'opfs',
    where,
    async open(name) {
      const handle = await find(name);
      return handle ? await openFile(handle) : null;
    },
    append: async (name, at) => await openWriter(await made(name), name, at),
    async put(name, bytes) {
      const aside = `${name}.${Math.random().toString(36).slice(2)}.tmp`;
      const handle = await made(aside);
      const writer = await openWriter(handle, aside, 0);
      await writer.write(bytes);
      await writer.close();
      await handle.move?.(name).catch(failing(`renaming ${aside}`));
    },
    async rename(from, to) {
      const handle = await find(from);
      if (!handle) return failing(`renaming ${from}`)(new Error('there is none'));
      await handle.move?.(to).catch(failing(`renaming ${from}`));
    },
    async remove(name) {
      await folder.removeEntry(name).catch((error: unknown) => {
        if (named(error) !== 'NotFoundError') failing(`removing ${name}`)(error);
      });
    },
    async list() {
      const found: { name: string; bytes: number }[] = [];
      for await (const [name, handle] of folder.entries()) {
        if (handle.kind !== 'file' || name === '.probe') continue;
        const file = await (handle as FileSystemFileHandle).getFile().catch(() => null);
        if (file) found.push({ name, bytes: file.size });
      }
      return found;
    },
    async free() {
      const { quota, usage } = await navigator.storage.estimate();
      return quota === undefined ? null : Math.max(0, quota - (usage ?? 0));
    },
    lock: (name, options) => webLock(`ocelli/${name}`, options),
  };
}

async function openFile(handle: Handle): Promise<StoredFile> {
  // Exclusive where the mode is not known, so another reader may find it taken; it then reads a snapshot.
  const sync = await handle.createSyncAccessHandle?.({ mode: 'read-only' }).catch(() => null);
  if (sync) {
    return {
      bytes: sync.getSize(),
      read: async (at, into) => sync.read(into, { at }),
      close: async () => sync.close(),
    };
  }
  const file = await handle.getFile();
  return {
    bytes: file.size,
    async read(at, into) {
      const part = new Uint8Array(await file.slice(at, at + into.length).arrayBuffer());
      into.set(part);
      return part.length;
    },
    close: async () => undefined,
  };
}

async function openWriter(handle: Handle, name: string, at: number): Promise<StoreWriter> {
  const full = failing(`writing ${name}`);
  if (handle.createSyncAccessHandle) {
    const sync = await handle.createSyncAccessHandle().catch(full);
    let end = at;
    if (sync.getSize() > at) sync.truncate(at);
    return {
      async write(piece) {
        try {
          const count = sync.write(piece, { at: end });
          end += count;
          if (count < piece.length) throw cacheFull(where, `${piece.length} bytes of ${name}`);
        } catch (error) {
          full(error);
        }
      },
      async close() {
        sync.flush();
        sync.close();
      },
    };
  }
  let end = at;
  let open: FileSystemWritableFileStream | null = null;
  let since = 0;
  const begin = async (): Promise<FileSystemWritableFileStream> => {
    const stream = await handle.createWritable({ keepExistingData: true });
    await stream.truncate(end);
    await stream.seek(end);
    return stream;
  };
  const end_ = async (): Promise<void> => {
    const stream = open;
    open = null;
    since = 0;
    await stream?.close().catch(full);
  };
  return {
    async write(piece) {
      open ??= await begin().catch(full);
      await open.write(piece as Uint8Array<ArrayBuffer>).catch(full);
      end += piece.length;
      since += piece.length;
      if (since >= sliceBytes) await end_();
    },
    async close() {
      if (at === end) open ??= await begin().catch(full); // an empty file, or one to be cut
      await end_();
    },
  };
}
