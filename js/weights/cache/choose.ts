// Owns which cache is used: the one that was asked for, else the first that works here. Called by library.ts. Surprise:
// only one that was asked for by name may fail; where the host's own cannot be used, memory takes its place.
import { either, type Form, isObject, oneOf, integer, text, wrongValue } from '../../forms.ts';
import { isNode } from '../../host.ts';
import { cacheApiStore } from './cache_api.ts';
import { cacheFolder, fsStore } from './fs.ts';
import { memoryStore } from './memory.ts';
import { opfsStore } from './opfs.ts';
import type { Store } from './store.ts';

/**
 * Which cache keeps downloaded shards. 'auto' (default): a folder in Node, Deno and Bun, OPFS in browsers, the Cache API in
 * edge isolates, memory where nothing else works. `directory` names the folder (Node); 'none' keeps nothing.
 */
export type CacheChoice =
  | 'auto'
  | 'none'
  | 'fs'
  | 'opfs'
  | 'cache-api'
  | 'memory'
  | { directory: string }
  | { memoryBytesMax: number };

/** One for all of this thread, so that an engine which is opened again finds what the last one fetched. */
let inMemory: Store | undefined;

const withOne =
  (name: string, form: Form): Form =>
  (value) =>
    isObject(value) && form((value as Record<string, unknown>)[name]) === null
      ? null
      : `{ ${name} }, ${form(undefined) ?? ''}`;

/** What a CacheChoice is. */
export const cacheForm: Form = either(
  oneOf('auto', 'none', 'fs', 'opfs', 'cache-api', 'memory'),
  withOne('directory', text),
  withOne('memoryBytesMax', integer(1)),
);

/** The store, or null for 'none' (and for 'auto' where OCELLI_CACHE is "off"). `make`: whether a folder is made for it. */
export async function chooseStore(
  choice: CacheChoice = 'auto',
  make = true,
): Promise<Store | null> {
  const wrong = cacheForm(choice);
  if (wrong !== null) throw wrongValue('cache', wrong, choice);
  if (typeof choice === 'object')
    return 'directory' in choice
      ? await fsStore(choice.directory, make)
      : memoryStore(choice.memoryBytesMax);
  switch (choice) {
    case 'none':
      return null;
    case 'fs':
      return await fsStore(await cacheFolder(), make);
    case 'opfs':
      return await opfsStore();
    case 'cache-api':
      return await cacheApiStore();
    case 'memory':
      return (inMemory ??= memoryStore());
    case 'auto':
      if (isNode && process.env['OCELLI_CACHE'] === 'off') return null;
      return await firstThatWorks(make);
  }
}

async function firstThatWorks(make: boolean): Promise<Store> {
  const ways: (() => Promise<Store>)[] = [];
  if (isNode) ways.push(async () => await fsStore(await cacheFolder(), make));
  else {
    if (typeof navigator === 'object' && navigator.storage?.getDirectory !== undefined)
      ways.push(opfsStore);
    if (typeof caches === 'object') ways.push(cacheApiStore);
  }
  for (const way of ways) {
    const store = await way().catch(() => null);
    if (store) return store;
  }
  return (inMemory ??= memoryStore());
}
