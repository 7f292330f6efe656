// Owns who computes and who waits: a bounded first-come queue in front of the engine. Called by chat.ts. Surprise: the
// engine would take hundreds of requests at once and share its steps among them; the bound is here so that those who
// would wait for minutes are told so at once, with the time after which to come back.
import { draining, Refusal, retryAfter } from './errors.ts';

export interface Queue {
  readonly running: number;
  readonly waiting: number;
  /** Whether all who come are refused. */
  readonly stopped: boolean;
  /** Resolves to the function that gives the place back; rejects with a Refusal, or with the signal's reason. */
  enter(signal: AbortSignal): Promise<() => void>;
  /** Refuses all who come from now on, and those who wait. */
  stop(): void;
  /** Resolves when nothing runs. */
  idle(): Promise<void>;
}

interface Waiter {
  admit(): void;
  refuse(reason: unknown): void;
}

export function createQueue(
  { runningMax, waitingMax }: { runningMax: number; waitingMax: number },
  clock: () => number,
): Queue {
  let running = 0;
  let stopped = false;
  /** How long a request took lately, for Retry-After. */
  let typicalMs = 1000;
  const waiters: Waiter[] = [];
  const idlers: (() => void)[] = [];

  const place = (): (() => void) => {
    const start = clock();
    let given = false;
    running++;
    return () => {
      if (given) return;
      given = true;
      running--;
      typicalMs += (clock() - start - typicalMs) / 8;
      waiters.shift()?.admit();
      if (running === 0) for (const wake of idlers.splice(0)) wake();
    };
  };

  const full = (): Refusal => {
    const seconds = (typicalMs * (waiters.length + 1)) / runningMax / 1000;
    return new Refusal(
      429,
      'queue_full',
      `the server is busy: ${running} requests are running and ${waiters.length} are waiting, which is the limit`,
      { headers: retryAfter(Math.min(seconds, 300)) },
    );
  };

  return {
    get running() {
      return running;
    },
    get waiting() {
      return waiters.length;
    },
    get stopped() {
      return stopped;
    },
    enter(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        if (stopped) return reject(draining());
        if (running < runningMax) return resolve(place());
        if (waiters.length >= waitingMax) return reject(full());
        const leave = (): void => {
          waiters.splice(waiters.indexOf(waiter), 1);
          reject(signal.reason);
        };
        const waiter: Waiter = {
          admit() {
            signal.removeEventListener('abort', leave);
            resolve(place());
          },
          refuse(reason) {
            signal.removeEventListener('abort', leave);
            reject(reason);
          },
        };
        signal.addEventListener('abort', leave, { once: true });
        waiters.push(waiter);
      });
    },
    stop() {
      stopped = true;
      for (const { refuse } of waiters.splice(0)) refuse(draining());
    },
    async idle() {
      if (running > 0) await new Promise<void>((resolve) => idlers.push(resolve));
    },
  };
}
