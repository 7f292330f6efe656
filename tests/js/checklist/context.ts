// What the checklist's blocks share: the model, a server of pictures, and short ways to ask. Surprise: importing it sets
// both up, once, in checklist.test.ts, which all blocks are part of.
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { AI, ChatBody, ChatCompletion, ChatCompletionChunk } from '../../../js/index.ts';
import {
  bitmap,
  builtPackage,
  realTokenizerModel,
  removal,
  root,
  variantNames,
} from '../real_model.ts';

export type Messages = ChatBody['messages'];

/** How long a picture's server may take. */
export const imageTimeoutMs = 5000;

export let ai: AI;
let server: Server;
export let base = '';
beforeAll(async () => {
  const { folder, model } = await realTokenizerModel();
  const { createAI } = await builtPackage();
  const variant = variantNames[0];
  ai = createAI({ model, context: 2048, imageTimeoutMs, ...(variant && { variant }) });
  server = createServer((request, response) => {
    if (request.url === '/ok') response.end(Buffer.from(bitmap(56, 56)));
    else if (request.url === '/text') response.end('<html>no picture</html>');
    else if (request.url !== '/slow') response.writeHead(404).end('none');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return removal(folder);
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await ai.close();
});

export const run = (body: ChatBody): Promise<ChatCompletion> =>
  ai.run(null, { ...body, stream: false });
export const streamed = async (body: ChatBody): Promise<ChatCompletionChunk[]> => {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of await ai.run(null, { ...body, stream: true })) chunks.push(chunk);
  return chunks;
};
export const refusal = (body: object): Promise<unknown> =>
  ai.run(null, body as ChatBody).then(
    () => 'accepted',
    ({ status, type, param, message }: Record<string, unknown>) => ({
      status,
      type,
      param,
      message,
    }),
  );
/** The prompt as text, and how many tokens it has; nothing is computed. */
export async function prompt(body: ChatBody): Promise<{ text: string; tokens: number }> {
  const { prompt_token_ids = [], usage } = await run({
    ...body,
    max_tokens: 1,
    tokenize_only: true,
    return_token_ids: true,
  });
  return { text: await ai.detokenize(prompt_token_ids), tokens: usage.prompt_tokens };
}
/** What the model is to say: its text token by token, however it is cut. */
export async function saying(...pieces: string[]): Promise<{ forced_token_ids: number[] }> {
  const ids: number[] = [];
  for (const piece of [...pieces, '<|im_end|>']) ids.push(...(await ai.tokenize(piece)));
  return { forced_token_ids: ids };
}
export const one = (choices: ChatCompletion['choices']): ChatCompletion['choices'][0] =>
  choices[0] as ChatCompletion['choices'][0];

export const hello: Messages = [{ role: 'user', content: 'hello' }];
export const weather = JSON.parse(
  readFileSync(join(root, 'models/demo/weather_tool.json'), 'utf8'),
) as NonNullable<ChatBody['tools']>[0];
export const london: Messages = [
  { role: 'system', content: 'You are a helpful assistant with access to tools.' },
  { role: 'user', content: 'What is the weather in London?' },
];
export const markup = (location: string): string =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"location": "${location}"}}\n</tool_call>`;
