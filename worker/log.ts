// Owns what is said about requests: one object each, written as a line of JSON where the adapter puts it. Called by app.ts.
// Surprise: nothing of a prompt, an answer, a key or a query string ever gets here; only names, counts and times.

/** Gets one record per request. */
export type Log = (record: Record<string, unknown>) => void;

export const silent: Log = () => undefined;

/** A log of JSON lines. */
export function jsonLog(write: (line: string) => void): Log {
  return (record) => write(`${JSON.stringify(record)}\n`);
}
