// Owns what the clients ask the embedded model, and what it is held to by a schema or a named tool where its answer counts.
// Used by the suites of this folder. The Python ones read it too, as JSON (python.test.mjs).
import { readFileSync } from 'node:fs';

export const model = 'qwen-qwen25-vl-3b-instruct-awq';
export const prompt = 'What is the capital of France?';
export const messages = [{ role: 'user', content: prompt }];

export const weatherPrompt = 'What is the weather in London?';

/** A tool that the embedded model calls, in OpenAI's words. */
export const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the current weather for a location',
    parameters: {
      type: 'object',
      properties: { location: { type: 'string', description: 'The city and state' } },
      required: ['location'],
    },
  },
};

export const picture = readFileSync('models/demo/examples/shapes.png');
export const pictureUrl = `data:image/png;base64,${picture.toString('base64')}`;
export const picturePrompt = 'Describe this image.';
/** How the embedded model describes it. */
export const pictureAnswer = /^The image shows a yellow star/;

/** A schema whose documents are few, so that whatever the model would say, one of them is written. */
export const placeSchema = {
  type: 'object',
  properties: {
    city: { type: 'string', enum: ['Paris', 'London'] },
    known: { type: 'boolean' },
  },
  required: ['city', 'known'],
  additionalProperties: false,
};
/** Whether `value` is one of them. */
export const isPlace = ({ city, known, ...more }) =>
  ['Paris', 'London'].includes(city) &&
  typeof known === 'boolean' &&
  Object.keys(more).length === 0;

/** What makes an answer long enough to be aborted: many tokens, many choices, no end of its own. */
export const endless = { ignore_eos: true, max_tokens: 1900, n: 64, temperature: 1 };
