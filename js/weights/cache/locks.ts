// Owns locks by name: the Web's, which all tabs and workers of an origin share, and ones of this thread alone. Called by
// opfs.ts, cache_api.ts and memory.ts; fs.ts has lock files (lock_file.ts). Surprise: edge isolates have none, and nobody
// there may wait for another request, which can end unseen; then two may fetch the same shard, and the hash judges both.
import { isWorkerd } from '../../host.ts';
import type { LockOptions, Release } from './store.ts';

const noLock: Release = async () => undefined;

/** A tab that dies lets go of its locks by itself. */
export async function webLock(name: string, options: LockOptions = {}): Promise<Release | null> {
  const { wait = true, signal } = options;
  signal?.throwIfAborted();
  if (typeof navigator !== 'object' || !navigator.locks) return noLock;
  return await new Promise<Release | null>((resolve, reject) => {
    const held = navigator.locks.request(
      name,
      // The platform refuses a signal for a request that does not wait.
      wait ? (signal ? { signal } : {}) : { ifAvailable: true },
      async (lock) => {
        if (!lock) return resolve(null);
        await new Promise<void>((release) =>
          resolve(async () => {
            release();
            await held.catch(() => undefined);
          }),
        );
      },
    );
    held.catch(reject);
  });
}

const taken = new Map<string, Promise<void>>();

/** Among all who run in this thread. */
export async function localLock(
  name: string,
  { wait = true, signal }: LockOptions = {},
): Promise<Release | null> {
  if (isWorkerd) return noLock;
  for (let before = taken.get(name); before; before = taken.get(name)) {
    if (!wait) return null;
    await settledOrAborted(before, signal);
  }
  let free = (): void => undefined;
  const mine = new Promise<void>((resolve) => (free = resolve));
  taken.set(name, mine);
  return async () => {
    if (taken.get(name) === mine) taken.delete(name);
    free();
  };
}

async function settledOrAborted(
  work: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  if (!signal) return await work;
  let abort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => (abort = () => reject(signal.reason)));
  signal.addEventListener('abort', abort);
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
