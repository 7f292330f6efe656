// Owns the LoRA adapters of an AI: what their names mean, and that the engine of the moment has them. Called by ai.ts.
// Surprise: an engine may be another one at the next request (idle, crashed); an adapter's files stay here and go into each
// engine that is asked to use them.
import { badRequest, OcelliError } from './errors.ts';
import type { Engine } from './thread/protocol.ts';
import type { AdapterFiles, AdapterPlace } from './weights/adapter_files.ts';

/** A folder's path or URL, with the tensors' sha256 where it is known, or the files themselves. */
export type AdapterSource = string | URL | AdapterPlace | AdapterFiles;

export interface Adapters {
  /**
   * Reads a PEFT adapter for the language model and puts it beside the base, for requests that name it as their model.
   * From a URL it comes through the cache, as a model does; README says when a server is asked. Rejects with an OcelliError:
   * "invalid_adapter" names the field or tensor that is not supported; with the signal's reason when that comes first.
   */
  load(name: string, source: AdapterSource, options?: { signal?: AbortSignal }): Promise<void>;
  /** Requests under way keep it. Rejects with "adapter_not_found" when there is none of this name. */
  unload(name: string): Promise<void>;
  /** The names, in the order of loading. */
  list(): Promise<string[]>;
}

/** The adapters and, for run(), how one gets into an engine. */
export interface AdapterShelf extends Adapters {
  /** Resolves when `engine` has the adapter. */
  ensure(engine: Engine, name: string): Promise<void>;
  has(name: string): boolean;
}

/** `taken`: whether a name means something else already; `use`: what is to be done with the engine of the moment. */
export function adapterShelf(
  read: (place: AdapterPlace, signal?: AbortSignal) => Promise<AdapterFiles>,
  taken: (name: string) => boolean,
  use: <T>(work: (engine: Engine) => Promise<T>) => Promise<T>,
): AdapterShelf {
  const shelf = new Map<string, Promise<AdapterFiles>>();
  const placed = new WeakMap<Engine, Map<string, Promise<void>>>();

  const ensure = async (engine: Engine, name: string): Promise<void> => {
    const files = shelf.get(name);
    if (!files) throw missing(name);
    let there = placed.get(engine);
    if (!there) placed.set(engine, (there = new Map()));
    const mine = there;
    const known = mine.get(name);
    if (known) return await known;
    const placing = files.then((one) => engine.loadAdapter(name, one));
    mine.set(name, placing);
    await placing.catch((error: unknown) => {
      mine.delete(name);
      throw error;
    });
  };
  const missing = (name: string): OcelliError =>
    new OcelliError(
      404,
      'adapter_not_found',
      `The lora adapter '${name}' cannot be found.`,
      'model',
    );

  return {
    ensure,
    has: (name) => shelf.has(name),
    list: async () => [...shelf.keys()],
    async load(name, source, { signal } = {}) {
      signal?.throwIfAborted();
      if (typeof name !== 'string' || name === '')
        throw badRequest('invalid_value', 'an adapter needs a name', 'lora_name');
      if (shelf.has(name)) {
        const message = `The lora adapter '${name}' has already been loaded.`;
        throw badRequest('invalid_value', message, 'lora_name');
      }
      if (taken(name)) {
        const message = `an adapter cannot be named '${name}': that is the model's own name`;
        throw badRequest('invalid_value', message, 'lora_name');
      }
      const files =
        typeof source === 'object' && 'tensors' in source
          ? Promise.resolve(source)
          : read(
              typeof source === 'object' && 'from' in source ? source : { from: source },
              signal,
            );
      files.catch(() => undefined); // awaited by ensure()
      shelf.set(name, files);
      try {
        await use((engine) => ensure(engine, name));
      } catch (error) {
        if (shelf.get(name) === files) shelf.delete(name);
        throw error;
      }
    },
    async unload(name) {
      if (!shelf.delete(name)) throw missing(name);
      await use(async (engine) => {
        const there = placed.get(engine);
        const placing = there?.get(name);
        there?.delete(name);
        if (placing) await placing.then(() => engine.dropAdapter(name));
      });
    },
  };
}
