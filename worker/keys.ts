// Owns who may call: API keys, each with its own rate and credits. Called by the dialects through callerOf(). Surprise: no
// key is kept, only its SHA-256 (keys are random, so nothing slower is needed), and a key is compared with all hashes in
// full, so that neither time nor memory tells how near a guess was.
import { randomHex } from '../js/json_text.ts';
import { Refusal, retryAfter, unauthorized } from './errors.ts';
import { keyUse } from './key_use.ts';
import type { Store } from './store/store.ts';

/** A key as it is configured and stored. */
export interface KeyEntry {
  /** What logs call it. */
  name: string;
  /** Of the key's UTF-8 bytes, 64 hexadecimal digits. */
  sha256: string;
  /** Requests in any 60 seconds; unlimited by default. */
  requestsPerMinute?: number;
  /** Tokens of prompts and answers that it may still use; unlimited by default. */
  credits?: number;
}

/** Whoever was let in. */
export interface Caller {
  /** Of the key, whatever it is called: whose things are in a store. */
  readonly id: string;
  readonly name: string;
  readonly requestsPerMinute: number;
  /** Starts of the requests of the last minute, oldest first. */
  readonly recent: number[];
  /** Tokens left; Infinity where they are not counted. */
  credits: number;
}

export interface KeyRing {
  /** Whether a key is needed at all. */
  readonly required: boolean;
  /** Whose key it is; rejects with a Refusal 401. Without keys everybody is the same caller. */
  callerOf(key: string | null): Promise<Caller>;
  /** Whose id it is; for one whose key is gone, somebody without limits. */
  callerById(id: string): Caller;
  /** Counts one request of the caller; throws a Refusal 402 or 429. Returns what x-ratelimit headers say. */
  admit(caller: Caller): Record<string, string>;
  /** Takes `tokens` from the caller's credits, which may end below 0 by one request. */
  charge(caller: Caller, tokens: number): void;
  /** Resolves when what was used is kept, where there is a lasting store. */
  settled?(): Promise<void>;
}

const minuteMs = 60_000;

export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A new random key, to be shown once. */
export const newKey = (): string => `sk-ocelli-${randomHex(48)}`;

/** Whether two hashes are equal, in a time that does not depend on where they differ. */
function same(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
}

/** Keys whose rates and credits go on through restarts where `store` does. */
export function createKeyRing(
  entries: readonly KeyEntry[],
  clock: () => number,
  store?: Store,
): KeyRing {
  const make = ({ name, sha256, requestsPerMinute, credits }: Partial<KeyEntry>): Caller => ({
    id: sha256?.slice(0, 32) ?? '',
    name: name ?? 'anyone',
    requestsPerMinute: requestsPerMinute ?? Infinity,
    recent: [],
    credits: credits ?? Infinity,
  });
  const anyone = make({});
  const callers = entries.map((entry) => {
    if (!/^[0-9a-f]{64}$/.test(entry.sha256))
      throw new Refusal(
        400,
        'invalid_value',
        `the sha256 of the key ${JSON.stringify(entry.name)} must be 64 hexadecimal digits`,
      );
    return { sha256: entry.sha256, caller: make(entry), credits: entry.credits };
  });
  const use = store?.lasting
    ? keyUse(
        store,
        callers.filter(
          ({ caller }) => Math.min(caller.credits, caller.requestsPerMinute) < Infinity,
        ),
      )
    : undefined;
  return {
    required: entries.length > 0,
    async callerOf(key) {
      if (callers.length === 0) return anyone;
      if (!key) throw unauthorized('an API key is needed: Authorization: Bearer KEY');
      const hash = await sha256Hex(key);
      let found: Caller | undefined;
      for (const { sha256, caller } of callers) if (same(sha256, hash)) found = caller;
      if (!found) throw unauthorized('the API key is not known');
      await use?.ready;
      return found;
    },
    callerById(id) {
      return callers.find(({ caller }) => caller.id === id)?.caller ?? { ...anyone, id };
    },
    admit(caller) {
      if (caller.credits <= 0)
        throw new Refusal(402, 'insufficient_credits', 'the API key has no credits left');
      const { recent, requestsPerMinute } = caller;
      if (requestsPerMinute === Infinity) return {};
      const now = clock();
      while (recent[0] !== undefined && recent[0] <= now - minuteMs) recent.shift();
      const reset = (((recent[0] ?? now) + minuteMs - now) / 1000).toFixed(0);
      const headers = (left: number): Record<string, string> => ({
        'x-ratelimit-limit-requests': String(requestsPerMinute),
        'x-ratelimit-remaining-requests': String(left),
        'x-ratelimit-reset-requests': `${reset}s`,
      });
      if (recent.length >= requestsPerMinute)
        throw new Refusal(
          429,
          'rate_limit_exceeded',
          `the API key may send ${requestsPerMinute} requests a minute`,
          { headers: { ...headers(0), ...retryAfter(Number(reset)) } },
        );
      recent.push(now);
      use?.changed(caller);
      return headers(requestsPerMinute - recent.length);
    },
    charge(caller, tokens) {
      caller.credits -= tokens;
      use?.changed(caller);
    },
    ...(use && { settled: use.settled }),
  };
}
