// Owns the store of platforms without one: a map that ends with the process. Called by app.ts where no other is given.
import {
  type Kept,
  type Store,
  storeDefaults,
  storeFull,
  type StoreLimits,
  weightOf,
} from './store.ts';

const nameOf = (kind: string, owner: string, id: string): string => `${kind} ${owner} ${id}`;

export function memoryStore(options: Partial<StoreLimits> = {}): Store {
  const { bytesMax, clock } = { ...storeDefaults, ...options };
  // Maps remember the order in which names first came, also when their entry is replaced.
  const entries = new Map<string, Kept>();
  let held = 0;

  const drop = (name: string): void => {
    const entry = entries.get(name);
    if (!entry) return;
    held -= weightOf(entry);
    entries.delete(name);
  };
  const gone = ({ open, expires }: Kept): boolean => !open && expires <= clock();

  /** Makes room for `more` bytes beside `spared`: first what is over, then the oldest of what is finished. */
  const makeRoom = (more: number, spared: string): void => {
    for (const [name, entry] of entries) if (name !== spared && gone(entry)) drop(name);
    for (const [name, { open }] of entries) {
      if (held + more <= bytesMax) return;
      if (!open && name !== spared) drop(name);
    }
    if (held + more > bytesMax) throw storeFull(bytesMax);
  };

  return {
    lasting: false,
    async put(entry) {
      const name = nameOf(entry.kind, entry.owner, entry.id);
      const before = entries.get(name);
      const more = weightOf(entry) - (before ? weightOf(before) : 0);
      makeRoom(more, name);
      held += more;
      entries.set(name, { ...entry });
    },
    async get(kind, owner, id) {
      const entry = entries.get(nameOf(kind, owner, id));
      return entry && !gone(entry) ? { ...entry } : undefined;
    },
    async open(kind) {
      return [...entries.values()].filter((entry) => entry.kind === kind && entry.open);
    },
    async close() {
      entries.clear();
      held = 0;
    },
  };
}
