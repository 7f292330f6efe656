// The hosted service's documented requests through AI.run, on the real tokenizer: prompts are counted as the service
// counts them, and replies have its bytes. Surprise: the weights are random, so the answer's tokens are forced; what is
// tested is all that lies between the body and the model, and between the model and the reply.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, ChatBody, ChatCompletion } from '../../js/index.ts';
import {
  bitmap,
  builtPackage,
  realTokenizerModel,
  removal,
  root,
  variantNames,
} from './real_model.ts';

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const reply = (name: string): ChatCompletion =>
  JSON.parse(
    readFileSync(new URL(`replies/${name}.json`, import.meta.url), 'utf8'),
  ) as ChatCompletion;

let ai: AI;
beforeAll(async () => {
  const { folder, model: container } = await realTokenizerModel();
  const lib = await builtPackage();
  const variant = variantNames[0];
  ai = lib.install({
    model: container,
    context: 2048,
    ...(variant && { variant }),
  });
  return removal(folder);
});
afterAll(() => ai.close());

const run = (body: ChatBody): Promise<ChatCompletion> =>
  globalThis.Azion.AI.run(model, body).then(async (answer) =>
    answer instanceof Response ? ((await answer.json()) as ChatCompletion) : answer,
  );
// The tool of the hosted service's documentation is the demo's, too.
const weather = JSON.parse(
  readFileSync(join(root, 'models/demo/weather_tool.json'), 'utf8'),
) as NonNullable<ChatBody['tools']>[0];
const london: ChatBody = {
  messages: [
    { role: 'system', content: 'You are a helpful assistant with access to tools.' },
    { role: 'user', content: 'What is the weather in London?' },
  ],
  tools: [weather],
};
const call =
  '<tool_call>\n{"name": "get_weather", "arguments": {"location": "London"}}\n</tool_call><|im_end|>';

describe.each([false, true])('stream: %s', (stream) => {
  it('the London request has 293 prompt tokens with the hermes template, and the documented reply', async () => {
    const forced_token_ids = await ai.tokenize(call);
    const answer = await run({ ...london, stream, chat_template: 'hermes', forced_token_ids });
    const like = reply('london');
    answer.id = like.id;
    answer.created = like.created;
    for (const one of answer.choices[0]?.message.tool_calls ?? [])
      one.id = 'chatcmpl-tool-fd3311e75aed4cbfbeb7244ced77379f';
    expect(JSON.stringify(answer)).toBe(JSON.stringify(like));
  });

  it('and 174 with the default one', async () => {
    const answer = await run({ ...london, stream, max_tokens: 1 });
    expect(answer.usage.prompt_tokens).toBe(174);
  });

  it('the capitals request has 23 prompt tokens and answers with text', async () => {
    const text = 'Sure! Here is a list of some European capitals...';
    const messages = [
      { role: 'system', content: 'You are a helpful assistant.' },
      { role: 'user', content: 'Name the european capitals' },
    ];
    const answer = await run({
      messages,
      stream,
      forced_token_ids: await ai.tokenize(`${text}<|im_end|>`),
    });
    expect(answer.choices[0]?.message).toEqual(reply('basic').choices[0]?.message);
    expect([answer.usage.prompt_tokens, answer.choices[0]?.finish_reason]).toEqual([23, 'stop']);
  });

  it('text and image: the prompt grows by the image tokens', async () => {
    const url = `data:image/bmp;base64,${Buffer.from(bitmap(112, 84)).toString('base64')}`;
    const text = { type: 'text', text: 'What is in this image?' };
    const ask = (content: ChatBody['messages'][0]['content']): Promise<ChatCompletion> =>
      run({ messages: [{ role: 'user', content }], stream, max_tokens: 3, temperature: 0 });
    const without = await ask([text]);
    const withOne = await ask([text, { type: 'image_url', image_url: { url } }]);
    // 112 x 84 pixels are 4 x 3 merged patches, between vision_start and vision_end.
    expect(withOne.usage.prompt_tokens - without.usage.prompt_tokens).toBe(14);
    expect(withOne.usage.completion_tokens).toBe(3);
  });
});

it('a tool call and its result replayed: 218 prompt tokens, also from the reply itself', async () => {
  const { message } = reply('london').choices[0] as ChatCompletion['choices'][0];
  const result = {
    role: 'tool',
    tool_call_id: message.tool_calls[0]?.id ?? '',
    content: '{"t": 15}',
  };
  const messages = [...london.messages, message, result];
  expect((await run({ messages, tools: [weather], max_tokens: 1 })).usage.prompt_tokens).toBe(218);
});

it('streamed and whole text of whatever the model says are equal', async () => {
  const body = {
    messages: london.messages,
    temperature: 0,
    seed: 3,
    max_tokens: 40,
    ignore_eos: true,
  };
  const whole = await run({ ...body, stream: false });
  const streamed = await run({ ...body, stream: true });
  expect(streamed.choices).toEqual(whole.choices);
});
