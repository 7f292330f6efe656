// Owns what the OpenAPI document says of each route: THE table. Read by dialects/docs.ts. Surprise: the server does not run
// on it; a test compares it with the routes.
import { z } from 'zod';
import type { Operation } from './openapi.ts';
import {
  chatBody,
  chatChunk,
  chatReply,
  detokenizeBody,
  detokenizeReply,
  errorReply,
  modelCard,
  modelList,
  tokenizeBody,
  tokenizeReply,
} from './schemas.ts';

const messages = [{ role: 'user', content: 'What is the capital of France?' }];
const asked = [401, 413, 415, 400, 402, 429, 404, 503, 504];

const vllm: Operation[] = [
  {
    ...{ method: 'post', path: '/v1/chat/completions', tag: 'OpenAI, vLLM, Azion' },
    summary: 'A chat completion',
    body: chatBody,
    example: { messages, stream: true, max_tokens: 100 },
    reply: {
      about: 'The answer, or with "stream" its chunks, then [DONE]',
      ...{ json: chatReply, events: chatChunk },
    },
    errors: asked,
  },
  {
    ...{ method: 'get', path: '/v1/models', tag: 'OpenAI, vLLM, Azion' },
    ...{ summary: 'The models', errors: [401] },
    reply: { about: 'A list of one or more', json: modelList },
  },
  {
    ...{ method: 'get', path: '/v1/models/{id}', tag: 'OpenAI, vLLM, Azion' },
    ...{ summary: 'One model, by any of its ids', errors: [401, 404] },
    reply: { about: 'The model', json: modelCard },
  },
  {
    ...{ method: 'post', path: '/tokenize', tag: 'Utilities' },
    summary: 'The tokens of a text, or of the prompt that a chat becomes',
    ...{ body: tokenizeBody, example: { messages }, errors: [401, 413, 415, 400, 429, 404, 503] },
    reply: { about: 'Ids', json: tokenizeReply },
  },
  {
    ...{ method: 'post', path: '/detokenize', tag: 'Utilities' },
    summary: 'The text of tokens',
    ...{ body: detokenizeBody, example: { tokens: [1, 2, 3] }, errors: [401, 413, 415, 400] },
    reply: { about: 'Text', json: detokenizeReply },
  },
  {
    ...{ method: 'get', path: '/health', tag: 'Utilities' },
    ...{ summary: 'Whether requests are answered', errors: [503] },
    reply: { about: 'They are' },
  },
  ...(['get', 'post'] as const).map(
    (method): Operation => ({
      ...{ method, path: '/ping', tag: 'Utilities', summary: 'The same as /health' },
      ...{ errors: [503], reply: { about: 'They are' } },
    }),
  ),
  {
    ...{ method: 'get', path: '/version', tag: 'Utilities', summary: 'The version of ocelli' },
    reply: { about: 'The version', json: z.object({ version: z.string() }) },
  },
  {
    ...{ method: 'get', path: '/load', tag: 'Utilities', summary: 'Requests that run or wait' },
    reply: { about: 'How many', json: z.object({ server_load: z.int() }) },
  },
  {
    ...{ method: 'get', path: '/metrics', tag: 'Utilities', summary: 'Counters for Prometheus' },
    reply: { about: 'Text, version 0.0.4', type: 'text/plain' },
  },
];

export const operations: readonly Operation[] = vllm.map((one) => ({
  errorBody: errorReply,
  ...one,
}));
