// The server's replies against the OpenAPI document that OpenAI publishes.
import { afterAll, describe, inject, it } from 'vitest';
import { startCells } from './python.mjs';

const { python } = inject('fetched');

describe("OpenAI's document", () => {
  let script;
  afterAll(() => script?.end());
  it.each([
    ...['a text', 'choices', 'log-probabilities', 'a tool', 'a named tool', 'a JSON schema'],
    ...['an image', 'models', 'a model', 'a bad field', 'an unknown key', 'an unknown model'],
    'what differs',
  ])('%s', async (name) => {
    script ??= startCells(python.openai, 'openai_document.py', inject('at'));
    await script.cell(name);
  });
});
