// Owns the entry of Node, Deno, Bun, browsers, and every host that compiles WebAssembly. Called by users. Surprise: there is
// nothing of a platform in it; what differs is found out at run time (host.ts).
import { type Front, frontWith } from './front.ts';

export * from './exports.ts';

const front = frontWith({});
export const createAI: Front['createAI'] = front.createAI;
export const run: Front['run'] = front.run;
export const install: Front['install'] = front.install;
