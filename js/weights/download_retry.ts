// Owns when a request is tried again and where: the mirrors in turn, then a pause that grows. Called by download_reader.ts
// and download.ts. Surprise: a new byte makes all earlier failures count for nothing, so a connection that always breaks
// still brings a model home, while one that brings nothing is given up soon. What failed one file is asked last for the next.
import type { OcelliError } from '../errors.ts';
import type { Network } from './download_request.ts';
import { askedToWait, gaveUp } from './failures.ts';

/** No pause is longer, whatever a server asks for. */
const pauseMsMax = 60_000;
const backoffMsMax = 30_000;

/** Why one request did not do. */
export class Failure extends Error {
  readonly error: OcelliError;
  /** Whether asking the same server again cannot help. */
  readonly permanent: boolean;
  /** What the server asked for: Retry-After. */
  readonly waitMs: number;

  constructor(error: OcelliError, { permanent = false, waitMs = 0 } = {}) {
    super(error.message);
    this.error = error;
    this.permanent = permanent;
    this.waitMs = waitMs;
  }
}

/** Milliseconds from a Retry-After header: seconds, or a date; 0 where there is none. */
export function retryAfterMs(header: string | null, now: number = Date.now()): number {
  if (!header) return 0;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}

/** Another mirror than this one is asked first from now on. */
export function leaveMirror(network: Network, mirror: number): void {
  if (network.first === mirror) network.first = (mirror + 1) % network.mirrors.length;
}

export interface TriesOptions {
  attempts?: number;
  /** Who is asked, in this order; by default all, beginning with the network's first. */
  mirrors?: readonly number[] | undefined;
}

/** All mirrors in turn, `first` before the others. */
export function mirrorsFrom({ mirrors }: Network, first: number): number[] {
  return mirrors.map((_, n) => (first + n) % mirrors.length);
}

/** Which mirror is asked for one file, and how often. */
export class Tries {
  readonly #network: Network;
  readonly #file: string;
  readonly #attempts: number;
  readonly #where: (mirror: number) => string;
  readonly #live: number[];
  #turn = 0;
  #failures = 0;
  #waitMs = 0;

  /** `where`: a mirror's URL of the file, to be shown. */
  constructor(
    network: Network,
    file: string,
    where: (mirror: number) => string,
    { attempts = network.options.attempts, mirrors }: TriesOptions = {},
  ) {
    this.#network = network;
    this.#file = file;
    this.#where = where;
    this.#attempts = attempts;
    this.#live = [...(mirrors ?? mirrorsFrom(network, network.first))];
  }

  /** The mirror to ask now. */
  get mirror(): number {
    return this.#live[this.#turn % this.#live.length] as number;
  }

  /** A new byte has come. */
  progressed(): void {
    this.#failures = 0;
    this.#waitMs = 0;
  }

  /** Goes on to the next mirror, after a pause when all had their turn; rejects when it is given up. */
  async failed(failure: Failure, signal?: AbortSignal): Promise<void> {
    const { error, permanent, waitMs } = failure;
    leaveMirror(this.#network, this.mirror);
    if (permanent) {
      this.#live.splice(this.#turn % this.#live.length, 1);
      if (this.#live.length === 0) throw error;
      this.#turn %= this.#live.length;
      return;
    }
    if (++this.#failures >= this.#attempts * this.#live.length)
      throw gaveUp(this.#file, this.#failures, error);
    const asked = this.mirror;
    this.#waitMs = this.#waitMs === 0 ? waitMs : Math.min(this.#waitMs, waitMs || this.#waitMs);
    this.#turn = (this.#turn + 1) % this.#live.length;
    if (this.#failures % this.#live.length !== 0) return;
    if (this.#waitMs > pauseMsMax)
      throw askedToWait(this.#file, this.#where(asked), this.#waitMs / 1000);
    const round = this.#failures / this.#live.length - 1;
    const jitter =
      Math.random() * Math.min(backoffMsMax, this.#network.options.retryMs * 2 ** round);
    await pause(this.#waitMs + jitter, signal);
    this.#waitMs = 0;
  }
}

/** Waits; rejects with the signal's reason when that comes first. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}
