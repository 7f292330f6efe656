// Owns telling others that a task is over: its webhook and its upload, tried again with pauses that double. Called by desk.ts.
// Surprise: nothing is signed, as the service signs nothing: what authenticates a call is a token in its URL's query. For the
// same reason a URL is never logged.
import { onAbort } from '../abort.ts';
import type { WorkerContext } from '../context.ts';

export interface Delivery {
  method: 'POST' | 'PUT';
  url: string;
  type: string;
  body: string;
}

/** Resolves to whether somebody took it; rejects when the server ends before that is known. */
export async function deliver(
  { outbound, limits, ending }: Pick<WorkerContext, 'outbound' | 'limits' | 'ending'>,
  { method, url, type, body }: Delivery,
): Promise<boolean> {
  const { deliveryMs, deliveryTries, deliveryPauseMs, deliveryPauseMsMax } = limits;
  for (let attempt = 0; attempt < deliveryTries; attempt++) {
    if (attempt > 0)
      await pause(Math.min(deliveryPauseMs * 2 ** (attempt - 1), deliveryPauseMsMax), ending);
    ending.throwIfAborted();
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(deliveryMs), ending]);
      const headers = { 'content-type': type, 'user-agent': 'ocelli' };
      const answer = await outbound(url, { method, headers, body, signal, redirect: 'manual' });
      await answer.body?.cancel();
      if (answer.ok) return true;
    } catch {
      ending.throwIfAborted();
    }
  }
  return false;
}

/** Waits; rejects when `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(() => {
      unfollow();
      resolve();
    }, ms);
    const unfollow = onAbort(signal, () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}
