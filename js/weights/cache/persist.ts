// Owns asking a browser to keep the cache when it runs short of space. Called by ai.ts and pull.ts. Surprise: only pages can
// ask, workers cannot, and the answer changes nothing but what may happen later.
import type { CacheChoice } from './choose.ts';

/** Resolves to whether the origin's storage is persistent; false where nobody can say. */
export async function askToPersist(choice: CacheChoice = 'auto'): Promise<boolean> {
  const kept = choice === 'auto' || choice === 'opfs' || choice === 'cache-api';
  if (!kept || typeof navigator !== 'object' || !navigator.storage?.persist) return false;
  try {
    return (await navigator.storage.persisted()) || (await navigator.storage.persist());
  } catch {
    return false;
  }
}
