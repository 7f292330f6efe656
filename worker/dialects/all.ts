// Owns which dialects the server speaks, in the order their routes are tried. Called by app.ts.
import type { Mount } from '../context.ts';
import { adapters } from './adapters.ts';
import { azion } from './azion.ts';
import { completions } from './completions.ts';
import { docs } from './docs.ts';
import { gigarouter } from './gigarouter.ts';
import { openai } from './openai.ts';
import { runware } from './runware.ts';
import { segmind } from './segmind.ts';
import { vllm } from './vllm.ts';

export const mounts: readonly Mount[] = [
  gigarouter,
  runware,
  segmind,
  openai,
  completions,
  azion,
  vllm,
  adapters,
  docs,
];
