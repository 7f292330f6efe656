// Owns what keys have used, through restarts: credits left and the requests of the last minute, in the store. Called by keys.ts.
// Surprise: it is written a second after it changed, not at once, so that no request waits for a disk; a server that is
// killed forgets that second.
import type { Caller } from './keys.ts';
import type { Store } from './store/store.ts';

export interface KeyUse {
  /** Resolves when the callers are as they were left. */
  ready: Promise<void>;
  /** Something of the caller has changed. */
  changed(caller: Caller): void;
  /** Resolves when all of it is written. */
  settled(): Promise<void>;
}

const afterMs = 1000;

interface Use {
  configured: number | null;
  credits: number | null;
  recent: number[];
}

/** `callers` with the credits of their configuration: where these are others than before, they count, and not what was left. */
export function keyUse(
  store: Store,
  callers: readonly { caller: Caller; credits: number | undefined }[],
): KeyUse {
  const dirty = new Set<Caller>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let writing: Promise<void> = Promise.resolve();
  const configured = new Map(callers.map(({ caller, credits = null }) => [caller, credits]));

  async function restore(): Promise<void> {
    for (const [caller, credits] of configured) {
      const kept = await store.get('key', caller.id, 'use');
      if (!kept) continue;
      const use = JSON.parse(new TextDecoder().decode(kept.bytes)) as Use;
      if (credits !== null && use.configured === credits) caller.credits = use.credits ?? credits;
      caller.recent.unshift(...use.recent);
    }
  }

  async function write(): Promise<void> {
    for (const caller of dirty) {
      dirty.delete(caller);
      const { credits, recent } = caller;
      const use = { configured: configured.get(caller) ?? null, credits, recent };
      const bytes = new TextEncoder().encode(JSON.stringify(use));
      await store.put({ kind: 'key', owner: caller.id, id: 'use', open: true, expires: 0, bytes });
    }
  }
  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    // What finds no room now is written with the next change.
    return (writing = writing.then(write).catch(() => undefined));
  };

  const ready = restore();
  ready.catch(() => undefined); // callerOf() tells
  return {
    ready,
    changed(caller) {
      if (!configured.has(caller)) return;
      dirty.add(caller);
      timer ??= setTimeout(() => void flush(), afterMs);
    },
    settled: flush,
  };
}
