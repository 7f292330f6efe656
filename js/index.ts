// Owns the package's front door: run(), createAI() and install(). Called by users. Surprise: run() works without any
// set-up, on the embedded demo model; install({model}) gives it, and the global Azion.AI.run, another one.
import { type AI, type AIOptions, createAI } from './ai.ts';

export {
  type AI,
  type AIOptions,
  createAI,
  demoModel,
  type RunBody,
  type RunExtras,
} from './ai.ts';
export type { CoreEvent, LogprobEntry, TokenLogprob } from './abi/calls.ts';
export { type VariantName, variants } from './abi/variants.ts';
export { errorObject, OcelliError } from './errors.ts';
export { modelAliases } from './models.ts';
export type { EngineEvent, EngineInfo } from './thread/protocol.ts';
export type * from './types.ts';
export type { Manifest, ShardInfo, ShardSource } from './weights/source.ts';

let shared: AI | undefined;

/** One chat completion on the shared AI; see AI.run. */
export const run: AI['run'] = ((...values: Parameters<AI['run']>) =>
  (shared ??= createAI()).run(...values)) as AI['run'];

/** What the hosted platform offers as a global. An interface, so that programs can add the members they use. */
export interface AzionGlobal {
  AI: { run: AI['run'] };
}

declare global {
  var Azion: AzionGlobal;
}

/** Merges Azion.AI.run into the global object and makes it, and run(), use an AI with these options. */
export function install(options: AIOptions = {}): AI {
  const ai = createAI(options);
  shared = ai;
  const scope = globalThis as { Azion?: { AI?: { run?: AI['run'] } } };
  scope.Azion ??= {};
  scope.Azion.AI ??= {};
  scope.Azion.AI.run = ai.run;
  return ai;
}
