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
  /** Tasks in one request or frame, prompts in one text completion. */
  tasksPerRequest: number;
  /** Tasks that are accepted, answered later, and not finished. */
  tasksMax: number;
  /** What is finished, and uploaded images, can be asked for so long. */
  keepMs: number;
  /** A webhook or an upload has to answer within. */
  deliveryMs: number;
  /** So often one is called; between calls there are pauses that double, from deliveryPauseMs to deliveryPauseMsMax. */
  deliveryTries: number;
  deliveryPauseMs: number;
  deliveryPauseMsMax: number;
  /** A socket that says nothing for so long is closed. */
  silenceMs: number;
  /** A session without a socket is forgotten after. */
  sessionMs: number;
  sessionsMax: number;
  /** Frames that wait for a session's next socket. */
  undeliveredMax: number;
}

export const defaultLimits: WorkerLimits = {
  bodyBytesMax: 64 << 20,
  imagesMax: 64,
  runningMax: 8,
  waitingMax: 64,
  requestMs: 600_000,
  stallMs: 60_000,
  tasksPerRequest: 64,
  tasksMax: 1000,
  keepMs: 86_400_000,
  deliveryMs: 5000,
  deliveryTries: 8,
  deliveryPauseMs: 250,
  deliveryPauseMsMax: 8000,
  silenceMs: 120_000,
  sessionMs: 600_000,
  sessionsMax: 1000,
  undeliveredMax: 256,
};
