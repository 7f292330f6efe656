// The bytes of answers, streamed and not, against the replies that the hosted service documents.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../js/abi/calls.ts';
import type { ChatCompletion, ChatStream } from '../../js/types.ts';
import { fakeAI, type Place } from './fake_ai.ts';
import { fakeCore, type Script, textScript } from './fake_core.ts';

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const messages = [{ role: 'user', content: 'hello' }];
const places: Place[] = ['inline', 'line'];
const ai = (script: Script, place: Place = 'inline') => fakeAI(() => fakeCore(() => script), place);
const seed = (name: string): string =>
  readFileSync(new URL(`replies/${name}.json`, import.meta.url), 'utf8');

const london: Script = [
  [{ type: 'prompt', prompt_tokens: 293, images: [] }],
  [{ type: 'delta', index: 0, tokens: 5, tool_calls: [{ index: 0, name: 'get_weather' }] }],
  [{ type: 'delta', index: 0, tokens: 5, tool_calls: [{ index: 0, arguments: '{"location": ' }] }],
  [
    { type: 'delta', index: 0, tokens: 10, tool_calls: [{ index: 0, arguments: '"London"}' }] },
    { type: 'finish', index: 0, reason: 'tool_calls', stop_reason: null },
    { type: 'done', usage: { prompt_tokens: 293, cached_tokens: 0, completion_tokens: 20 } },
  ],
];

/** An answer as bytes, with the parts that differ from run to run taken from `like`. */
function bytesLike(answer: ChatCompletion, like: ChatCompletion): string {
  expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
  expect(Math.abs(answer.created - Date.now() / 1000)).toBeLessThan(60);
  answer.id = like.id;
  answer.created = like.created;
  for (const [i, call] of (answer.choices[0]?.message.tool_calls ?? []).entries()) {
    expect(call.id).toMatch(/^chatcmpl-tool-[0-9a-f]{32}$/);
    call.id = like.choices[0]?.message.tool_calls[i]?.id ?? '';
  }
  return JSON.stringify(answer);
}

describe.each(places)('a whole answer, %s', (place) => {
  it('equals the documented reply of the basic request byte for byte', async () => {
    const like = JSON.parse(seed('basic')) as ChatCompletion;
    const script = textScript(['Sure! Here is a list', ' of some European capitals...']);
    const last = script.at(-1) as CoreEvent[];
    last[2] = {
      type: 'done',
      usage: { prompt_tokens: 9, cached_tokens: 0, completion_tokens: 518 },
    };
    const answer = await ai(script, place).run(model, { messages });
    expect(bytesLike(answer, like)).toBe(JSON.stringify(like));
  });

  it('equals the documented reply of the tool request byte for byte', async () => {
    const like = JSON.parse(seed('london')) as ChatCompletion;
    const answer = await ai(london, place).run(model, { messages });
    expect(bytesLike(answer, like)).toBe(JSON.stringify(like));
  });
});

it('keeps choices in order, with token ids and log-probabilities on request', async () => {
  const entry = { token: 'a', logprob: -0.5, bytes: [97], top_logprobs: [] };
  const script: Script = [
    [{ type: 'prompt', prompt_tokens: 2, prompt_token_ids: [5, 6], images: [] }],
    [{ type: 'delta', index: 1, text: 'b', tokens: 1, token_ids: [8], logprobs: [entry] }],
    [{ type: 'delta', index: 0, text: 'a', tokens: 1, token_ids: [7], logprobs: [entry] }],
    [
      { type: 'finish', index: 1, reason: 'length', stop_reason: null },
      { type: 'finish', index: 0, reason: 'stop', stop_reason: 42 },
      { type: 'done', usage: { prompt_tokens: 2, cached_tokens: 0, completion_tokens: 2 } },
    ],
  ];
  const answer = await ai(script).run(null, {
    messages,
    n: 2,
    logprobs: true,
    return_token_ids: true,
  });
  expect(answer.model).toBe('fake-model');
  expect(Object.keys(answer).at(-1)).toBe('prompt_token_ids');
  expect(answer.prompt_token_ids).toEqual([5, 6]);
  expect(answer.choices.map(({ index, token_ids }) => [index, token_ids])).toEqual([
    [0, [7]],
    [1, [8]],
  ]);
  expect(JSON.stringify(answer.choices[0])).toBe(
    '{"index":0,"message":{"role":"assistant","reasoning_content":null,"content":"a","tool_calls":[]},' +
      '"logprobs":{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]}]},' +
      '"finish_reason":"stop","stop_reason":42,"token_ids":[7]}',
  );
});

it('gives a named tool call empty content, an ordinary one null', async () => {
  const choice = { type: 'function', function: { name: 'get_weather' } };
  expect(
    (await ai(london).run(null, { messages, tool_choice: choice })).choices[0]?.message.content,
  ).toBe('');
  expect((await ai(london).run(null, { messages })).choices[0]?.message.content).toBeNull();
  expect((await ai(textScript([])).run(null, { messages })).choices[0]?.message.content).toBe('');
});

/** The stream's bytes with its random parts named. */
async function sse(stream: ChatStream): Promise<string> {
  const text = await stream.text();
  const id = /"id":"(chatcmpl-[0-9a-f]{32})"/.exec(text)?.[1] ?? 'none';
  return text
    .replaceAll(id, 'chatcmpl-X')
    .replace(/"created":\d+/g, '"created":7')
    .replace(/chatcmpl-tool-[0-9a-f]{32}/g, 'chatcmpl-tool-X');
}
const start =
  'data: {"id":"chatcmpl-X","object":"chat.completion.chunk","created":7,"model":"fake-model","choices":[';

describe.each(places)('a streamed answer, %s', (place) => {
  it('has exactly these bytes for text', async () => {
    const stream = await ai(textScript(['Su', 're']), place).run(null, { messages, stream: true });
    expect(stream).toBeInstanceOf(Response);
    expect(stream.status).toBe(200);
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await sse(stream)).toBe(
      `${start}{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${start}{"index":0,"delta":{"content":"Su"},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${start}{"index":0,"delta":{"content":"re"},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${start}{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop","stop_reason":null}]}\n\n` +
        'data: [DONE]\n\n',
    );
  });

  it('has exactly these bytes for a tool call', async () => {
    const stream = await ai(london, place).run(null, {
      messages,
      stream: true,
      stream_options: {},
    });
    const call = '{"index":0,"delta":{"tool_calls":[{"index":0,';
    expect(await sse(stream)).toBe(
      `${start}{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${start}${call}"id":"chatcmpl-tool-X","type":"function","function":{"name":"get_weather","arguments":""}}]},` +
        '"logprobs":null,"finish_reason":null}]}\n\n' +
        `${start}${call}"function":{"arguments":"{\\"location\\": "}}]},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${start}${call}"function":{"arguments":"\\"London\\"}"}}]},"logprobs":null,"finish_reason":null}]}\n\n` +
        `${start}{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null}]}\n\n` +
        `${start}],"usage":{"prompt_tokens":293,"total_tokens":313,"completion_tokens":20}}\n\n` +
        'data: [DONE]\n\n',
    );
  });
});

it('carries usage on every chunk when asked to', async () => {
  const options = { include_usage: true, continuous_usage_stats: true };
  const stream = await ai(textScript(['a', 'b'], 9)).run(null, {
    messages,
    stream: true,
    stream_options: options,
  });
  const counts: (number | undefined)[] = [];
  for await (const { usage } of stream) {
    expect(usage?.total_tokens).toBe(9 + (usage?.completion_tokens ?? NaN));
    counts.push(usage?.completion_tokens);
  }
  expect(counts).toEqual([0, 1, 2, 3, 3]);
});

it('has no usage unless it was asked for', async () => {
  for (const stream_options of [
    undefined,
    null,
    { include_usage: false, continuous_usage_stats: true },
  ]) {
    const stream = await ai(textScript(['a'])).run(null, {
      messages,
      stream: true,
      stream_options,
    } as never);
    expect(await (stream as ChatStream).text()).not.toContain('usage');
  }
});

it('starts every choice with its role and tells the prompt ids once', async () => {
  const body = { messages, stream: true as const, n: 2, return_token_ids: true };
  const chunks = [];
  for await (const chunk of await ai(textScript(['a'], 9, true)).run(null, body))
    chunks.push(chunk);
  expect(
    chunks.slice(0, 2).map(({ choices }) => [choices[0]?.index, choices[0]?.delta.role]),
  ).toEqual([
    [0, 'assistant'],
    [1, 'assistant'],
  ]);
  expect(chunks.map(({ prompt_token_ids }) => prompt_token_ids)).toEqual([
    [5, 6],
    ...chunks.slice(1).map(() => undefined),
  ]);
  expect(chunks.flatMap(({ choices }) => choices[0]?.token_ids ?? [])).toEqual([0, 99]);
});

it('streams the same text, calls and ids that a whole answer has', async () => {
  const whole = await ai(london).run(null, { messages });
  const streamed = await (await ai(london).run(null, { messages, stream: true })).json();
  expect(bytesLike(streamed, whole)).toBe(JSON.stringify(whole));
});
