// Owns the entry `ocelli/worker`: the server for every platform that has fetch(request). Called by users. Surprise: the
// adapter of Node is imported by its own name, ocelli/worker/node, since only Node has what it needs.
export { createWorker, type Worker, type WorkerOptions } from './app.ts';
export { type KeyEntry, newKey, sha256Hex } from './keys.ts';
export { defaultLimits, type WorkerLimits } from './limits.ts';
export { jsonLog, type Log } from './log.ts';
