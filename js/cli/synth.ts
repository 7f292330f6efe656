// Owns `ocelli synth`: a container of random weights in a real model's shape, for measuring without a download. Called by
// main.ts. Surprise: the converter makes it; this only names the folders that it may see.
import { dirname } from 'node:path';
import { type Given, UsageError } from './arguments.ts';
import { commands } from './commands.ts';
import { flagsOf, readable, runConverter } from './converter.ts';

export async function synth(given: Given): Promise<number> {
  const [outName] = given.operands as [string];
  if (given.text('shape') === undefined) throw new UsageError('--shape is needed: 3b, 7b or tiny');
  const tokenizer = given.text('tokenizer');
  const flags = flagsOf(commands['synth'], given);
  if (tokenizer === undefined) return await runConverter([], outName, flags, []);
  // The last of several equal options counts.
  const file = await readable(tokenizer);
  return await runConverter([], outName, [...flags, '--tokenizer', file], [dirname(file)]);
}
