// Owns how a command is stopped by Ctrl-C or SIGTERM, and the exit status then. Called by the commands and main.ts. Surprise:
// only the first signal is ours; the second one ends the process at once, whatever it does.
let stoppedBy: 'SIGINT' | 'SIGTERM' = 'SIGINT';

/** Aborts at the first Ctrl-C or SIGTERM; the second one ends the process at once. */
export function stopSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      stoppedBy = signal;
      stop.abort();
    });
  return stop.signal;
}

/** The exit status that says which signal it was, as shells have it. */
export const stopStatus = (signal = stoppedBy): number => (signal === 'SIGINT' ? 130 : 143);
