// Owns vLLM's lists of tokens that an answer may or may not hold, as the biases that the core knows. Called by ai.ts.
// Surprise: a bias of 100 is no mask, but a token 100 below another one is drawn once in e^100 times; what biases cannot say
// (words of several tokens, both kinds of bias together) is refused by name.
import { badRequest } from './errors.ts';
import { type Fields, isFields } from './request.ts';

const most = 100;

const refuse = (name: string, why: string): Error =>
  badRequest('unsupported_feature', `${name} ${why}`, name);

/** Puts allowed_token_ids and bad_words of a body into its logit_bias. Throws a BadRequestError. */
export async function biasTokens(
  fields: Fields,
  tokenize: (text: string) => Promise<number[]>,
): Promise<void> {
  const { allowed_token_ids: allowed, bad_words: words, logit_bias: given } = fields;
  const biases: Record<string, unknown> = isFields(given) ? { ...given } : {};
  if (allowed !== undefined && allowed !== null) {
    const ids = Array.isArray(allowed) ? (allowed as unknown[]) : [];
    if (ids.length === 0 || !ids.every((id) => Number.isInteger(id)))
      throw badRequest(
        'invalid_value',
        'allowed_token_ids must be a list of one or more token ids',
        'allowed_token_ids',
      );
    if (Object.keys(biases).length > 0)
      throw refuse('allowed_token_ids', 'must be absent where there is a logit_bias');
    for (const id of ids) biases[String(id)] = most;
  }
  if (words !== undefined && words !== null) {
    const texts = Array.isArray(words) ? (words as unknown[]) : [words];
    if (!texts.every((word) => typeof word === 'string' && word.trim() !== ''))
      throw badRequest('invalid_value', 'bad_words must be a list of words', 'bad_words');
    for (const word of texts as string[]) {
      const text = word.trimStart();
      const [id, ...more] = await tokenize(text);
      if (id === undefined || more.length > 0)
        throw refuse(
          'bad_words',
          `must be of one token each: ${JSON.stringify(text.slice(0, 40))} has ${more.length + 1}`,
        );
      const [spaced, ...rest] = await tokenize(` ${text}`);
      for (const bad of rest.length === 0 ? [id, spaced] : [id]) biases[String(bad)] = -most;
    }
  }
  if (Object.keys(biases).length > 0) fields['logit_bias'] = biases;
}
