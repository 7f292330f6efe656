// Owns the cache in the Cache API: workerd's and other edge isolates', and browsers without OPFS. Called by choose.ts.
// Surprise: an entry cannot grow, so a file is a list of pieces, each an entry, and an index entry that names them; it is
// written after the pieces, which makes every change of it atomic. Renaming moves only the index.
import { OcelliError } from '../../errors.ts';
import { cacheFull, cacheUnusable } from '../failures.ts';
import { webLock } from './locks.ts';
import type { Store, StoreWriter } from './store.ts';

const where = 'in the Cache API';
const base = 'https://ocelli.invalid/';
/** Bytes of a full piece. */
const entryBytes = 4 << 20;

/** The index entry of a file. */
interface Index {
  /** Names the pieces: PIECE/ID/0, PIECE/ID/1, ... */
  id: string;
  sizes: number[];
}

const total = ({ sizes }: Index): number => sizes.reduce((sum, bytes) => sum + bytes, 0);

function failing(doing: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof OcelliError) throw error;
    throw error instanceof Error && error.name === 'QuotaExceededError'
      ? cacheFull(where, doing, error)
      : cacheUnusable(where, doing, error);
  };
}

/** `cache`: what is kept in; the origin's cache "ocelli" by default. */
export async function cacheApiStore(cache?: Cache): Promise<Store> {
  const entries = cache ?? (await caches.open('ocelli'));
  const fileUrl = (name: string): string => `${base}file/${encodeURIComponent(name)}`;
  const pieceUrl = (id: string, n: number): string => `${base}piece/${id}/${n}`;
  const set = async (url: string, bytes: Uint8Array): Promise<void> => {
    // Without a lifetime some hosts refuse the entry, and without a length others do.
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(bytes.length),
      'cache-control': 'public, max-age=31536000, immutable',
    };
    const body = bytes as Uint8Array<ArrayBuffer>;
    await entries.put(url, new Response(body, { headers })).catch(failing('writing'));
  };
  const get = async (url: string): Promise<Uint8Array | null> => {
    const response = await entries.match(url).catch(failing('reading'));
    return response ? new Uint8Array(await response.arrayBuffer()) : null;
  };
  const readIndex = async (name: string): Promise<Index | null> => {
    const bytes = await get(fileUrl(name));
    return bytes ? (JSON.parse(new TextDecoder().decode(bytes)) as Index) : null;
  };
  const writeIndex = (name: string, index: Index): Promise<void> =>
    set(fileUrl(name), new TextEncoder().encode(JSON.stringify(index)));
  const drop = async ({ id, sizes }: Index, from = 0): Promise<void> => {
    for (let n = from; n < sizes.length; n++) await entries.delete(pieceUrl(id, n));
  };
  const newId = (): string =>
    [...crypto.getRandomValues(new Uint32Array(3))].map((n) => n.toString(36)).join('-');

  const append = async (name: string, at: number): Promise<StoreWriter> => {
    const index = (await readIndex(name)) ?? { id: newId(), sizes: [] };
    let parts: Uint8Array[] = [];
    let filled = 0;
    // Whole pieces before `at` stay; what the next one has before it is written again.
    let kept = 0;
    let before = 0;
    while (kept < index.sizes.length && before + (index.sizes[kept] as number) <= at)
      before += index.sizes[kept++] as number;
    if (before < at) {
      const part = (await get(pieceUrl(index.id, kept)))?.subarray(0, at - before);
      if (part?.length !== at - before)
        return failing(`appending to ${name}`)(new Error('a piece is missing'));
      parts.push(part);
      filled = part.length;
    }
    if (kept < index.sizes.length) {
      const cut = { id: index.id, sizes: index.sizes.slice(0, kept) };
      await writeIndex(name, cut);
      await drop(index, kept);
      index.sizes = cut.sizes;
    }
    const flush = async (): Promise<void> => {
      if (filled === 0) return;
      const entry = new Uint8Array(filled);
      let from = 0;
      for (const part of parts) {
        entry.set(part, from);
        from += part.length;
      }
      await set(pieceUrl(index.id, index.sizes.length), entry);
      index.sizes.push(filled);
      parts = [];
      filled = 0;
      await writeIndex(name, index);
    };
    return {
      async write(piece) {
        for (let from = 0; from < piece.length; ) {
          const part = piece.slice(from, from + entryBytes - filled);
          parts.push(part);
          filled += part.length;
          from += part.length;
          if (filled === entryBytes) await flush();
        }
      },
      async close() {
        await flush();
        if (index.sizes.length === 0) await writeIndex(name, index);
      },
    };
  };

  const store: Store = {
    kind: 'cache-api',
    where,
    async open(name) {
      const index = await readIndex(name);
      if (!index) return null;
      let held: { n: number; bytes: Uint8Array } | null = null;
      return {
        bytes: total(index),
        async read(at, into) {
          let from = 0;
          for (const [n, size] of index.sizes.entries()) {
            if (at < from + size) {
              if (held?.n !== n) {
                const bytes = await get(pieceUrl(index.id, n));
                // Hosts may drop single entries when they need room.
                if (bytes?.length !== size) return 0;
                held = { n, bytes };
              }
              const part = held.bytes.subarray(at - from, at - from + into.length);
              into.set(part);
              return part.length;
            }
            from += size;
          }
          return 0;
        },
        close: async () => void (held = null),
      };
    },
    append,
    async put(name, bytes) {
      const before = await readIndex(name);
      const index = { id: newId(), sizes: [bytes.length] };
      await set(pieceUrl(index.id, 0), bytes);
      await writeIndex(name, index);
      if (before) await drop(before);
    },
    async rename(from, to) {
      const index = await readIndex(from);
      if (!index) return failing(`renaming ${from}`)(new Error('there is none'));
      const before = await readIndex(to);
      await writeIndex(to, index);
      await entries.delete(fileUrl(from));
      if (before && before.id !== index.id) await drop(before);
    },
    async remove(name) {
      const index = await readIndex(name);
      if (!index) return;
      await entries.delete(fileUrl(name));
      await drop(index);
    },
    async list() {
      if (typeof entries.keys !== 'function') return [];
      const found: { name: string; bytes: number }[] = [];
      for (const { url } of await entries.keys().catch(() => [])) {
        if (!url.startsWith(`${base}file/`)) continue;
        const name = decodeURIComponent(url.slice(`${base}file/`.length));
        const index = await readIndex(name);
        if (index) found.push({ name, bytes: total(index) });
      }
      return found;
    },
    async free() {
      if (typeof navigator !== 'object' || !navigator.storage?.estimate) return null;
      const { quota, usage } = await navigator.storage.estimate();
      return quota === undefined ? null : Math.max(0, quota - (usage ?? 0));
    },
    lock: (name, options) => webLock(`ocelli/${name}`, options),
  };
  return store;
}
