// JSON schemas by chance through AI.run with the embedded model at temperature 1.5, eight at a time: an answer that ends is
// valid by Ajv's judgement, or the request was refused by name. schemas.test.ts asks the grammars alone, and more of them.
// OCELLI_ANSWERS says how many schemas (10000 for the long run), OCELLI_SCHEMAS_SEED which ones.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AI, ChatCompletion } from '../../js/index.ts';
import { builtPackage, variantNames } from '../js/real_model.ts';
import { judge } from './judge.ts';
import { schemaAt, suite, type Json } from './random_schemas.ts';

const count = Number(process.env['OCELLI_ANSWERS'] ?? 120);
const seed = Number(process.env['OCELLI_SCHEMAS_SEED'] ?? 1);
const together = 8;
const messages = [{ role: 'user', content: 'What do you see?' }];

let ai: AI;
let failure: typeof import('../../js/index.ts').OcelliError;
beforeAll(async () => {
  const { createAI, OcelliError } = await builtPackage();
  ai = createAI({ variant: variantNames[0]! });
  failure = OcelliError;
});
afterAll(() => ai.close());

/** The text of an answer under `schema`; what it was refused for; null when it came to its limit. */
async function answer(
  schema: Json,
  n: number,
): Promise<{ text: string } | { refused: string } | null> {
  // As clients of OpenAI give it, and as those of vLLM do.
  const asked = [
    { response_format: { type: 'json_schema', json_schema: { name: 'random', schema } } },
    { guided_json: schema },
  ][n % 2];
  const body = { messages, temperature: 1.5, seed: n, max_tokens: 300, ...asked };
  try {
    const { choices } = (await ai.run(null, body)) as ChatCompletion;
    const [{ message, finish_reason } = { message: null, finish_reason: null }] = choices;
    if (finish_reason === 'length') return null;
    expect(finish_reason).toBe('stop');
    return { text: message?.content ?? '' };
  } catch (error) {
    if (!(error instanceof failure)) throw error;
    const named = expect.stringMatching(
      new RegExp(`^${error.param} (has|allows|is|joins|must|needs|repeats|uses) .`),
    ) as string;
    expect([error.status, error.message]).toEqual([400, named]);
    expect(Object.keys(asked!)).toContain(error.param);
    return { refused: error.message };
  }
}

test(`${count} answers are valid or refused`, { timeout: 3_600_000 }, async () => {
  const cases = suite();
  const seen = { answers: 0, refused: 0, unfinished: 0, unjudged: 0 };
  const wrong: string[] = [];
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      // The suite's own stand first in schemaAt(); here a share of them is enough.
      const schema = schemaAt(seed, n * 7, cases);
      const given = await answer(schema, n);
      const reasonAgainst = judge(schema);
      if (given === null) seen.unfinished++;
      else if ('refused' in given) seen.refused++;
      else if (!reasonAgainst) seen.unjudged++;
      else {
        seen.answers++;
        const reason = reasonAgainst(given.text);
        if (reason !== null) wrong.push(JSON.stringify({ n, schema, text: given.text, reason }));
      }
    }
  };
  await Promise.all(Array.from({ length: together }, loop));
  console.log(JSON.stringify({ schemas: count, seed, ...seen }));
  expect(wrong.slice(0, 5)).toEqual([]);
  expect(seen.answers).toBeGreaterThan(count / 4);
});
