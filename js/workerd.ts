// Owns the entry of workerd, chosen by the export condition of that name: isolates compile no WebAssembly at run time, so
// the module is imported, and compiled at deployment. Called by users. Surprise: the import names the package itself: the
// path below build/ differs from the source's.
import wasm from 'ocelli/wasm/st-relaxed/ocelli.wasm';
import { type Front, frontWith } from './front.ts';

export * from './exports.ts';

const front = frontWith({ wasm });
export const createAI: Front['createAI'] = front.createAI;
export const run: Front['run'] = front.run;
export const install: Front['install'] = front.install;
