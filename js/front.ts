// Owns the package's front door: run(), createAI() and install(), as every entry gives them. Called by index.ts and
// workerd.ts, with what their platform needs. Surprise: run() works without any set-up; install({model}) gives it, and the
// global Azion.AI.run, another model.
import type { AI, AIOptions } from './ai.ts';
import { isObject, wrongValue } from './forms.ts';
import { chooseAI } from './remote/choose.ts';

export interface Front {
  /** An AI with these options: an engine here, an endpoint elsewhere, or whichever fits (AIOptions.engine). */
  createAI(options?: AIOptions): AI;
  /** One chat completion on the shared AI; see AI.run. */
  run: AI['run'];
  /** Merges Azion.AI.run into the global object and makes it, and run(), use an AI with these options. */
  install(options?: AIOptions): AI;
}

/** A front door whose AIs have these options where the caller names no others. */
export function frontWith(defaults: AIOptions): Front {
  let shared: AI | undefined;
  const create = (options: AIOptions = {}): AI => {
    if (!isObject(options)) throw wrongValue('options', 'an object, such as { model }', options);
    return chooseAI({ ...defaults, ...options });
  };
  return {
    createAI: create,
    run: ((...values: Parameters<AI['run']>) => (shared ??= create()).run(...values)) as AI['run'],
    install(options = {}) {
      const ai = create(options);
      shared = ai;
      const scope = globalThis as { Azion?: { AI?: { run?: AI['run'] } } };
      scope.Azion ??= {};
      scope.Azion.AI ??= {};
      scope.Azion.AI.run = ai.run;
      return ai;
    },
  };
}
