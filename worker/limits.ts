// Owns every limit of the server: THE table, with its defaults. Read by app.ts and the dialects, shown by `ocelli serve`.
// Surprise: what a request may ask of the model (tokens, pixels, choices) is limited in the core, not here.

export interface WorkerLimits {
  /** Of a request's body. */
  bodyBytesMax: number;
  /** Images in one request. */
  imagesMax: number;
  /** Requests computed at the same time. */
  runningMax: number;
  /** Requests that wait for that; one more is refused with 429. */
  waitingMax: number;
  /** For a whole request, waiting included; then it ends with 504, or with an error inside its stream. 0: none. */
  requestMs: number;
  /** A stream whose reader takes nothing for so long is ended. */
  stallMs: number;
}

export const defaultLimits: WorkerLimits = {
  bodyBytesMax: 64 << 20,
  imagesMax: 64,
  runningMax: 8,
  waitingMax: 64,
  requestMs: 600_000,
  stallMs: 60_000,
};
