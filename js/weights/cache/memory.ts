// Owns the cache in memory: for hosts without any storage, and when storage fails. Called by choose.ts. Surprise: it is
// small by default, since the core holds the same weights already; what does not fit is simply not kept.
import { cacheFull } from '../failures.ts';
import { localLock } from './locks.ts';
import type { Store } from './store.ts';

/** Holds at most this many bytes unless told otherwise. */
const memoryBytesDefault = 256 << 20;

let made = 0;

export function memoryStore(bytesMax: number = memoryBytesDefault): Store {
  const files = new Map<string, { pieces: Uint8Array[]; bytes: number }>();
  const where = 'in memory';
  const locks = `memory-${++made}/`;
  const used = (): number => [...files.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const store: Store = {
    kind: 'memory',
    where,
    async open(name) {
      const file = files.get(name);
      if (!file) return null;
      const { bytes } = file;
      const pieces = [...file.pieces];
      return {
        bytes,
        async read(at, into) {
          let from = 0;
          for (const piece of pieces) {
            if (at < from + piece.length) {
              const part = piece.subarray(at - from, at - from + into.length);
              into.set(part);
              return part.length;
            }
            from += piece.length;
          }
          return 0;
        },
        close: async () => undefined,
      };
    },
    async append(name, at) {
      const file = files.get(name) ?? { pieces: [], bytes: 0 };
      const pieces: Uint8Array[] = [];
      let bytes = 0;
      for (const piece of file.pieces) {
        const kept = piece.subarray(0, Math.max(0, at - bytes));
        if (kept.length > 0) pieces.push(kept);
        bytes += kept.length;
      }
      const now = { pieces, bytes };
      files.set(name, now);
      return {
        async write(piece) {
          if (used() + piece.length > bytesMax) throw cacheFull(where, `${piece.length} bytes`);
          now.pieces.push(piece.slice());
          now.bytes += piece.length;
        },
        close: async () => undefined,
      };
    },
    async put(name, bytes) {
      const before = files.get(name)?.bytes ?? 0;
      if (used() - before + bytes.length > bytesMax) throw cacheFull(where, name);
      files.set(name, { pieces: [bytes.slice()], bytes: bytes.length });
    },
    async rename(from, to) {
      const file = files.get(from);
      if (!file) throw new Error(`there is no ${from}`);
      files.delete(from);
      files.set(to, file);
    },
    remove: async (name) => void files.delete(name),
    list: async () => [...files].map(([name, { bytes }]) => ({ name, bytes })),
    free: async () => bytesMax - used(),
    lock: (name, options) => localLock(locks + name, options),
  };
  return store;
}
