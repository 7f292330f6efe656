// Owns the life of an AI's engine: opened at the first use, anew after a crash, unloaded when nobody has asked for long,
// closed. Called by ai.ts. Surprise: one engine at a time; who asks while the last one is being closed waits until its
// memory is given back, so that unloading and crashing never cost twice the memory.
/// <reference lib="esnext.disposable" preserve="true" />
import { OcelliError } from './errors.ts';
import { isWorkerd, quietTimer, sharedWork } from './host.ts';
import type { Engine } from './thread/protocol.ts';

export interface Life {
  /** The engine for one request: it is not unloaded before letGo(). Rejects with the signal's reason when that comes first. */
  hold(signal?: AbortSignal): Promise<{ engine: Engine; letGo: () => void }>;
  /** What `work` makes of the engine. */
  use<T>(work: (engine: Engine) => Promise<T>): Promise<T>;
  /** Ends the engine and what is pending; resolves when it has given back what it held. */
  close(): Promise<void>;
}

/** What holds something until close(). */
export interface Closable extends AsyncDisposable {
  close(): Promise<void>;
}

/** Engines from `opener`, whose signal ends an opening; unloaded after `idleMs` without anybody who holds them. */
export function engineLife(
  opener: (signal: AbortSignal) => Promise<Engine>,
  idleMs = Infinity,
): Life {
  let opening: Promise<Engine> | null = null;
  let ending = new AbortController();
  /** The end of the engines before. */
  let gone: Promise<unknown> | null = null;
  let holders = 0;
  let stayAwake = (): void => undefined;

  const bury = (dead: Promise<Engine>): Promise<unknown> => {
    const all = Promise.all([gone, dead.then((one) => one.close()).catch(() => undefined)]);
    gone = all;
    void all.then(() => {
      if (gone === all) gone = null;
    });
    return all;
  };
  const begin = (): Promise<Engine> => {
    ending = new AbortController();
    const { signal } = ending;
    // In workerd the end of another request's work may never be heard of.
    return gone && !isWorkerd ? gone.then(() => opener(signal)) : opener(signal);
  };

  /** The engine: opened once for all who wait. A failed opening is not kept. */
  const open = async (): Promise<Engine> => {
    for (;;) {
      const mine = (opening ??= begin());
      const forget = (): void => {
        if (opening !== mine) return;
        opening = null;
        void bury(mine);
      };
      const current = await sharedWork(mine).catch((error: unknown) => {
        forget();
        throw error;
      });
      if (!current.death) return current;
      forget();
    }
  };

  const close = async (): Promise<void> => {
    stayAwake();
    const current = opening;
    opening = null;
    ending.abort(new OcelliError(500, 'engine_closed', 'the engine was closed'));
    await (current ? bury(current) : gone);
  };

  const hold = async (signal?: AbortSignal): Promise<{ engine: Engine; letGo: () => void }> => {
    let held = true;
    holders++;
    stayAwake();
    const letGo = (): void => {
      if (!held) return;
      held = false;
      if (--holders === 0 && idleMs !== Infinity)
        stayAwake = quietTimer(() => void close(), idleMs);
    };
    try {
      return { engine: await abortable(open(), signal), letGo };
    } catch (error) {
      letGo();
      throw error;
    }
  };

  return {
    hold,
    async use(work) {
      const { engine, letGo } = await hold();
      try {
        return await work(engine);
      } finally {
        letGo();
      }
    },
    close,
  };
}

/** close() and, where the host has it, the same for `await using`: browsers had none before 2025. */
export function closeWith(close: () => Promise<void>): Closable {
  const closable = { close };
  return Symbol.asyncDispose
    ? Object.assign(closable, { [Symbol.asyncDispose]: close })
    : (closable as Closable);
}

/** `work`, or the signal's reason when that comes first; the work goes on, others may wait for it too. */
function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
