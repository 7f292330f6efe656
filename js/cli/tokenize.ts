// Owns `ocelli tokenize`: the ids of a text as a JSON array. Called by main.ts. Surprise: only the tokenizer's shard of
// the model is loaded, and standard input is taken as it is, with its last newline.
import { type Given, UsageError } from './arguments.ts';
import { aiOf, readText } from './io.ts';

export async function tokenize(given: Given): Promise<number> {
  const [operand] = given.operands;
  if (operand === undefined && process.stdin.isTTY)
    throw new UsageError('a text is needed, or - for standard input');
  const text = operand === undefined || operand === '-' ? await readText('-') : operand;
  const ai = aiOf(given, { tokenizerOnly: true, thread: 'inline' });
  process.stdout.write(`${JSON.stringify(await ai.tokenize(text))}\n`);
  await ai.close();
  return 0;
}
