// Owns which dialects the server speaks, in the order their routes are tried. Called by app.ts.
import type { Mount } from '../context.ts';
import { azion } from './azion.ts';
import { openai } from './openai.ts';
import { vllm } from './vllm.ts';

export const mounts: readonly Mount[] = [openai, azion, vllm];
