// Replies: the bytes of whole and streamed ones, and what is said of a bad body. Part of checklist.test.ts.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ChatCompletion, ChatCompletionChunk } from '../../../js/index.ts';
import {
  type Messages,
  ai,
  hello,
  london,
  markup,
  one,
  refusal,
  run,
  saying,
  streamed,
  weather,
} from './context.ts';

const capitals: Messages = [
  { role: 'system', content: 'You are a helpful assistant.' },
  { role: 'user', content: 'Name the european capitals' },
];
describe('Byte test of a non-stream reply’s key set and order against both seed replies (2.3)', () => {
  it.each([
    ['london', london, markup('London')],
    ['basic', capitals, 'Sure! Here is a list of some European capitals...'],
  ])('%s', async (name, messages, text) => {
    const seed = JSON.parse(
      readFileSync(new URL(`../replies/${name}.json`, import.meta.url), 'utf8'),
    ) as ChatCompletion;
    const answer = await run({ messages, tools: [weather], ...(await saying(text)) });
    const shape = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(shape)
        : value !== null && typeof value === 'object'
          ? Object.entries(value).map(([key, item]) => [key, shape(item)])
          : value === null
            ? null
            : typeof value;
    expect(shape(answer)).toEqual(shape(seed));
    expect(one(answer.choices).message.content).toBe(one(seed.choices).message.content);
    expect(JSON.stringify(answer)).not.toMatch(/refusal|system_fingerprint|service_tier/);
  });
});

describe('SSE byte tests: LF only, `data: ` prefix, finish_reason on every chunk, usage chunk only on request, `[DONE]`', () => {
  it.each([false, true])('usage asked for: %s', async (asked) => {
    const body = {
      messages: london,
      tools: [weather],
      n: 2,
      ...(await saying('Yes.', markup('Rom'))),
    };
    const options = asked ? { stream_options: { include_usage: true } } : {};
    const stream = await ai.run(null, { ...body, ...options, stream: true });
    expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const text = await stream.text();
    expect(text).not.toMatch(/\r|\n\n\n|^(event|id):/m);
    const events = text.split('\n\n');
    expect(events.splice(-2)).toEqual(['data: [DONE]', '']);
    const chunks = events.map((event) => {
      expect(event).toMatch(
        /^data: \{"id":"chatcmpl-[0-9a-f]{32}","object":"chat.completion.chunk"/,
      );
      expect(event).toBe(`data: ${JSON.stringify(JSON.parse(event.slice(6)))}`); // compact
      return JSON.parse(event.slice(6)) as ChatCompletionChunk;
    });
    const last = asked ? chunks.pop() : undefined;
    expect(last?.choices).toEqual(asked ? [] : undefined);
    for (const chunk of chunks) {
      expect(Object.keys(chunk)).toEqual(['id', 'object', 'created', 'model', 'choices']);
      expect(chunk.choices.length).toBe(1);
      expect(chunk.choices[0]).toHaveProperty('finish_reason');
      expect(chunk.choices[0]).toHaveProperty('logprobs', null);
    }
    const reasons = chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? []);
    expect(reasons).toEqual(['tool_calls', 'tool_calls']);
    // One role chunk an index first.
    expect(chunks.slice(0, 2).map(({ choices }) => choices[0])).toMatchObject([
      { index: 0, delta: { role: 'assistant', content: '' } },
      { index: 1, delta: { role: 'assistant', content: '' } },
    ]);
  });
  it('continuous usage counts up to what the usage chunk says', async () => {
    const stream_options = { include_usage: true, continuous_usage_stats: true };
    const chunks = await streamed({
      messages: hello,
      stream_options,
      ...(await saying('one two three')),
    });
    const counts = chunks.map(({ usage }) => usage?.completion_tokens ?? NaN);
    expect(counts[0]).toBe(0);
    expect([...counts].sort((a, b) => a - b)).toEqual(counts);
    expect(counts.at(-1)).toBe((await saying('one two three')).forced_token_ids.length);
    for (const { usage } of chunks)
      expect(usage?.total_tokens).toBe(
        (usage?.prompt_tokens ?? NaN) + (usage?.completion_tokens ?? NaN),
      );
  });
});

describe('Errors: what AI.run says of a bad body, with the field as param', () => {
  it.each<[object, string]>([
    [{}, 'messages'],
    [{ messages: [] }, 'messages'],
    [{ messages: [{ content: 'x' }] }, 'messages[0].role'],
    [{ messages: hello, temperature: -1 }, 'temperature'],
    [{ messages: hello, top_p: 0 }, 'top_p'],
    [{ messages: hello, n: 0 }, 'n'],
    [{ messages: hello, max_tokens: 0 }, 'max_tokens'],
    [{ messages: hello, stop: '' }, 'stop'],
    [{ messages: hello, top_logprobs: 1 }, 'top_logprobs'],
    [{ messages: hello, presence_penalty: 3 }, 'presence_penalty'],
    [{ messages: hello, stream_options: 1 }, 'stream_options'],
    [{ messages: hello, best_of: 4 }, 'best_of'],
    [{ messages: hello, tools: [{}] }, 'tools'],
    [{ messages: hello, max_tokens: 9999 }, 'messages'],
    [{ messages: [{ role: 'user', content: [{ type: 'audio' }] }] }, 'messages[0].content[0].type'],
  ])('%j', async (body, param) => {
    for (const stream of [false, true])
      expect(await refusal({ ...body, stream })).toMatchObject({
        status: 400,
        type: 'BadRequestError',
        param,
      });
  });
  it('seeds beyond 64 bits, as text', async () => {
    const body = `{"messages":[{"role":"user","content":"x"}],"seed":9223372036854775808}`;
    await expect(ai.run(null, body)).rejects.toMatchObject({ status: 400, param: 'seed' });
  });
  it('unknown fields are accepted and ignored, an unknown model is not', async () => {
    const odd = { user: 'u', metadata: { a: [1] }, reasoning_effort: 'low', store: false };
    const answer = await run({ messages: hello, max_tokens: 1, ...odd });
    expect(one(answer.choices).finish_reason).toBe('length');
    await expect(ai.run('gpt-5', { messages: hello })).rejects.toMatchObject({
      status: 404,
      type: 'NotFoundError',
      param: 'model',
    });
  });
});
