// Owns many waiting for one signal. Called by whatever ends with its client or with the server. Surprise: a signal gets one
// listener however many wait, since Node takes more than ten for a leak and says so in the log of a busy server; and none
// when nobody waits any more, since Node keeps a signal that follows others for as long as it has one.

const waiting = new WeakMap<AbortSignal, Group>();

interface Group {
  acts: Set<() => void>;
  listener: () => void;
}

function groupOf(signal: AbortSignal): Group {
  const acts = new Set<() => void>();
  const group = { acts, listener: () => acts.forEach((act) => act()) };
  waiting.set(signal, group);
  signal.addEventListener('abort', group.listener);
  return group;
}

/** Calls `act` once `signal` is aborted, at once where it is; what it returns takes that back. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  const { acts, listener } = waiting.get(signal) ?? groupOf(signal);
  acts.add(act);
  if (signal.aborted) act();
  return () => {
    if (!acts.delete(act) || acts.size > 0) return;
    signal.removeEventListener('abort', listener);
    waiting.delete(signal);
  };
}
