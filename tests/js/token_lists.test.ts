// Tokens that an answer may or may not hold, on the embedded model.
import { afterAll, expect, it } from 'vitest';
import { createAI } from '../../js/ai.ts';
import type { ChatBody } from '../../js/types.ts';

const ai = createAI();
afterAll(() => ai.close());
const messages = [{ role: 'user', content: 'What is the capital of France?' }];
const ask = async (more: object): Promise<string> => {
  const body = { messages, temperature: 0, max_tokens: 12, ...more } as ChatBody;
  return (await ai.run(null, { ...body, stream: false })).choices[0]?.message.content ?? '';
};
const refusal = (more: object): Promise<unknown> =>
  ask(more).catch((error: { message: string; param: string; status: number }) => error);

it('allowed_token_ids: no other token comes', async () => {
  const ids = await ai.tokenize('ab');
  const said = await ask({ allowed_token_ids: ids, temperature: 1.5, seed: 1 });
  expect(said).toMatch(/^[ab]+$/);
  expect(said.length).toBeGreaterThan(1);
});

it('bad_words: what would have been said is not', async () => {
  const said = await ask({});
  const single = async (word: string): Promise<boolean> => (await ai.tokenize(word)).length === 1;
  const words: string[] = [];
  for (const word of said.match(/[A-Za-z]+/g) ?? [])
    if ((await single(word)) && (await single(` ${word}`))) words.push(word);
  const [word] = words;
  expect(word, said).toBeDefined();
  const without = await ask({ bad_words: [word] });
  expect(without.split(/[^A-Za-z]+/)).not.toContain(word);
  // What the caller biases himself stays beside it.
  const [id] = await ai.tokenize('b');
  const biased = await ask({ bad_words: [word], logit_bias: { [String(id)]: 100 } });
  expect(biased).toMatch(/^b+$/);
});

it.each<[object, string]>([
  [{ allowed_token_ids: [] }, 'allowed_token_ids'],
  [{ allowed_token_ids: ['a'] }, 'allowed_token_ids'],
  [{ allowed_token_ids: [1], logit_bias: { 2: 1 } }, 'allowed_token_ids'],
  [{ allowed_token_ids: [99_999_999] }, 'logit_bias'],
  [{ bad_words: [7] }, 'bad_words'],
  [{ bad_words: [' '] }, 'bad_words'],
  [{ bad_words: ['The image shows'] }, 'bad_words'],
])('%j is refused', async (body, param) => {
  expect(await refusal(body)).toMatchObject({ status: 400, param });
});
