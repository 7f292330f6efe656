// Owns the cache as callers see it: which models are there, how large, whether they are whole. Called by users and by
// `ocelli cache`. Surprise: a model is named by its URL, or by the name in its manifest where only one has it; an adapter is
// a model too, by its folder's URL or name.
import { badRequest } from '../../errors.ts';
import { adapterUrl } from '../adapter_cache.ts';
import { modelUrl } from '../download.ts';
import { shownUrl } from '../failures.ts';
import { type CacheChoice, chooseStore } from './choose.ts';
import { type CachedModel, type DamagedShard, Library } from './library.ts';
import type { StoreKind } from './store.ts';

export interface WeightsCache {
  readonly kind: StoreKind;
  /** Where it is, for people: a folder's path, or a few words. */
  readonly where: string;
  /** The models, those used last first. */
  list(): Promise<CachedModel[]>;
  /** Bytes of everything in it, and how many more fit (null: nobody knows). */
  size(): Promise<{ bytes: number; free: number | null }>;
  /**
   * Hashes every shard of a model, of all models by default; damaged ones are thrown away and fetched again when they are
   * needed. Rejects with the signal's reason.
   */
  verify(
    model?: string,
    options?: { progress?: (bytes: number, total: number) => void; signal?: AbortSignal },
  ): Promise<{ checked: number; damaged: DamagedShard[] }>;
  /** Removes a model, except for shards that others have too; resolves to the bytes that this freed. */
  remove(model: string): Promise<number>;
  /** Removes what belongs to no model any more. */
  removeUnused(): Promise<number>;
}

/**
 * The cache of this host, or the one that `choice` says; a folder is not made for it. Rejects with "cache_unusable" when that
 * does not work.
 */
export async function openCache(choice: CacheChoice = 'auto'): Promise<WeightsCache> {
  const store = await chooseStore(choice, false);
  if (!store) throw badRequest('invalid_value', 'there is no cache: it is switched off', 'cache');
  const library = new Library(store);
  const urlOf = async (model: string): Promise<string> => {
    const models = await library.list();
    const url = /^https?:\/\//i.test(model) ? shownUrl(modelUrl(model)) : null;
    const of = (its: string): CachedModel[] => models.filter((one) => one.url === its);
    // A folder may have a model and an adapter; an adapter's own URL is a file's.
    const found = url
      ? [url, adapterUrl(new URL(url)), url.slice(0, -1)].flatMap(of).slice(0, 1)
      : models.filter(({ name }) => name === model);
    if (found.length === 1) return (found[0] as CachedModel).url;
    const why = found.length === 0 ? 'is not in the cache' : 'is the name of several: give a URL';
    throw badRequest('model_not_cached', `${model} ${why} ${store.where}`, 'model');
  };
  return {
    kind: library.kind,
    where: library.where,
    list: () => library.list(),
    size: async () => ({ bytes: await library.size(), free: await library.free() }),
    verify: async (model, { progress, signal } = {}) =>
      await library.verify(model === undefined ? model : await urlOf(model), progress, signal),
    remove: async (model) => await library.remove(await urlOf(model)),
    removeUnused: () => library.removeUnused(),
  };
}
