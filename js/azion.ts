// Owns the import for its effect: `import 'ocelli/azion'` and Azion.AI.run is there, with an engine here or an endpoint
// elsewhere as the environment says (remote/environment.ts). Called by users. Surprise: it loads nothing until the first
// run, and installAzion() gives what an environment cannot, such as a compiled module.
import type { AI, AIOptions } from './ai.ts';
import { install } from './index.ts';
import { environmentOptions } from './remote/environment.ts';

/** Puts Azion.AI.run there anew: with these options, and the environment's for those that are not named. */
export function installAzion(options: AIOptions = {}): AI {
  return install({ ...environmentOptions(), ...options });
}

installAzion();
