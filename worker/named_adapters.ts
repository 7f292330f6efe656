// Owns the LoRA adapters of a server: those of its AI, and where each came from, as lists of models tell it. Made by app.ts;
// used by the dialects and `ocelli serve`.
import type { AI } from '../js/ai.ts';

export interface NamedAdapters {
  /** As AI.adapters.load, from a folder or URL. */
  load(name: string, from: string): Promise<void>;
  unload(name: string): Promise<void>;
  /** None where an endpoint answers in our place: which it has is its own business. */
  list(): Promise<string[]>;
  /** Its folder or URL; its name when it was loaded by somebody else. */
  rootOf(name: string): string;
}

export function namedAdapters({ adapters }: AI): NamedAdapters {
  const roots = new Map<string, string>();
  return {
    async load(name, from) {
      await adapters.load(name, from);
      roots.set(name, from);
    },
    async unload(name) {
      await adapters.unload(name);
      roots.delete(name);
    },
    list: () => adapters.list().catch(() => []),
    rootOf: (name) => roots.get(name) ?? name,
  };
}
