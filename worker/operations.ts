// Owns what the OpenAPI document says of each route: THE table. Read by dialects/docs.ts. Surprise: the server does not run
// on it; a test compares it with the routes.
import { z } from 'zod';
import { slugs } from './dialects/segmind.ts';
import type { Operation } from './openapi.ts';
import { taskFailures, taskList, taskResults } from './runware/tasks.ts';
import {
  adapterBody,
  adapterName,
  chatBody,
  chatChunk,
  chatReply,
  completionBody,
  completionChunk,
  completionReply,
  detokenizeBody,
  detokenizeReply,
  errorReply,
  modelCard,
  modelList,
  segmindError,
  segmindReply,
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
    ...{ method: 'post', path: '/v1/completions', tag: 'OpenAI, vLLM, Azion' },
    summary: 'Text that goes on from one or several prompts',
    body: completionBody,
    example: { prompt: 'The image shows a', max_tokens: 16 },
    reply: {
      about: 'The texts, or with "stream" their chunks, then [DONE]',
      ...{ json: completionReply, events: completionChunk },
    },
    errors: asked,
  },
  {
    ...{ method: 'post', path: '/invocations', tag: 'OpenAI, vLLM, Azion' },
    summary:
      'One of the two above: a chat where there are messages, a text where there is a prompt',
    body: z.union([chatBody, completionBody]),
    example: { messages },
    reply: {
      about: 'What that route answers',
      ...{
        json: z.union([chatReply, completionReply]),
        events: z.union([chatChunk, completionChunk]),
      },
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
    ...{ body: detokenizeBody, example: { tokens: [1, 2, 3] }, errors: [401, 413, 415, 400, 404] },
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

const segmind: Operation[] = slugs.map((slug) => ({
  ...{ method: 'post', path: `/v1/${slug}`, tag: 'Segmind', errorBody: segmindError },
  summary: 'A chat completion in the documented keys',
  body: chatBody,
  example: { messages },
  reply: {
    about: 'The answer, or with "stream" the chunks of the route above',
    ...{ json: segmindReply, events: chatChunk },
  },
  errors: [401, 400, 406, 429, 404, 502, 504],
  keys: ['key', 'header'],
}));

/** A red square, so that trying it needs no other host. */
const square =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAIAAAD9b0jDAAAAJElEQVR42mN4YGBAdcQwauiooaOGjho6auiooaOGjho6MgwFAKde1C7Z3xrCAAAAAElFTkSuQmCC';
const task = {
  taskType: 'caption',
  taskUUID: '74c7c126-bc3d-4e55-b8fa-36e20e2a4e62',
  model: 'runware:152@1',
  prompt: 'Describe this image.',
  inputs: { image: square },
};
const runware: Operation[] = [
  ...['/v1', '/'].map(
    (path): Operation => ({
      ...{ method: 'post', path, tag: 'Runware', errorBody: taskFailures },
      summary: 'Tasks: captions, uploads, what became of them. A WebSocket here takes the same',
      ...{ body: taskList, example: [task] },
      reply: {
        about: 'A result for each task, and the errors of those that failed',
        json: taskResults,
      },
      errors: [401, 400, 402, 404, 429, 503],
    }),
  ),
  {
    ...{ method: 'get', path: '/v1/images/{id}', tag: 'Runware' },
    summary: 'An uploaded image, for whoever knows its id',
    reply: { about: 'Its bytes', type: 'image/*' },
    errors: [404],
  },
];

const described = (all: readonly Operation[]): Operation[] =>
  all.map((one) => ({ errorBody: errorReply, ...one }));

export const operations: readonly Operation[] = described([...vllm, ...segmind, ...runware]);

const adapterErrors = [401, 413, 415, 400, 404];
/** Only there where callers may load adapters. */
export const adapterOperations: readonly Operation[] = described([
  {
    ...{ method: 'post', path: '/v1/load_lora_adapter', tag: 'Adapters' },
    summary: 'Loads a LoRA adapter from a folder or URL',
    ...{ body: adapterBody, example: { lora_name: 'receipts', lora_path: '/adapters/receipts' } },
    ...{ reply: { about: 'Text', type: 'text/plain' }, errors: adapterErrors },
  },
  {
    ...{ method: 'post', path: '/v1/unload_lora_adapter', tag: 'Adapters' },
    summary: 'Forgets it',
    ...{ body: adapterName, example: { lora_name: 'receipts' } },
    ...{ reply: { about: 'Text', type: 'text/plain' }, errors: adapterErrors },
  },
]);
