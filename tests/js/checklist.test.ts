// The lines of the service's checklist that AI.run answers for, one block each, on the real tokenizer. Surprise: the
// weights are random, so where a test needs the model to say something its tokens are forced, or all others are biased
// away; everything around the model is what ships.
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, ChatBody, ChatCompletion, ChatCompletionChunk } from '../../js/index.ts';
import {
  bitmap,
  builtPackage,
  realTokenizerModel,
  removal,
  root,
  variantNames,
} from './real_model.ts';

type Messages = ChatBody['messages'];

let ai: AI;
let server: Server;
let base = '';
beforeAll(async () => {
  const { folder, model } = await realTokenizerModel();
  const { createAI } = await builtPackage();
  const variant = variantNames[0];
  ai = createAI({ model, context: 2048, imageTimeoutMs: 400, ...(variant && { variant }) });
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

const run = (body: ChatBody): Promise<ChatCompletion> => ai.run(null, { ...body, stream: false });
const streamed = async (body: ChatBody): Promise<ChatCompletionChunk[]> => {
  const chunks: ChatCompletionChunk[] = [];
  for await (const chunk of await ai.run(null, { ...body, stream: true })) chunks.push(chunk);
  return chunks;
};
const refusal = (body: object): Promise<unknown> =>
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
async function prompt(body: ChatBody): Promise<{ text: string; tokens: number }> {
  const { prompt_token_ids = [], usage } = await run({
    ...body,
    tokenize_only: true,
    return_token_ids: true,
  });
  return { text: await ai.detokenize(prompt_token_ids), tokens: usage.prompt_tokens };
}
/** What the model is to say: its text token by token, however it is cut. */
async function saying(...pieces: string[]): Promise<{ forced_token_ids: number[] }> {
  const ids: number[] = [];
  for (const piece of [...pieces, '<|im_end|>']) ids.push(...(await ai.tokenize(piece)));
  return { forced_token_ids: ids };
}
const one = (choices: ChatCompletion['choices']): ChatCompletion['choices'][0] =>
  choices[0] as ChatCompletion['choices'][0];

const hello: Messages = [{ role: 'user', content: 'hello' }];
const weather = JSON.parse(
  readFileSync(join(root, 'models/demo/weather_tool.json'), 'utf8'),
) as NonNullable<ChatBody['tools']>[0];
const userOnly: Messages = [{ role: 'user', content: 'What is the weather in London?' }];
const london: Messages = [
  { role: 'system', content: 'You are a helpful assistant with access to tools.' },
  ...userOnly,
];
const capitals: Messages = [
  { role: 'system', content: 'You are a helpful assistant.' },
  { role: 'user', content: 'Name the european capitals' },
];
const callOf = (id: string, location: string) => ({
  id,
  type: 'function' as const,
  function: { name: 'get_weather', arguments: JSON.stringify({ location }) },
});
const oneRound: Messages = [
  ...london,
  { role: 'assistant', content: null, tool_calls: [callOf('a', 'London')] },
  { role: 'tool', tool_call_id: 'a', content: '{"t": 15}' },
];
const twoCalls: Messages = [
  ...london,
  { role: 'assistant', content: 'ok', tool_calls: [callOf('a', 'London'), callOf('b', 'Paris')] },
  { role: 'tool', tool_call_id: 'a', content: '{"t": 15}' },
  { role: 'tool', tool_call_id: 'b', content: '{"t": 20}' },
  { role: 'user', content: 'thanks' },
];
const markup = (location: string): string =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"location": "${location}"}}\n</tool_call>`;

describe('Tokeniser/template golden tests: 174/23/26/218/261 (Qwen template), 293/202/194/336/377 (hermes), completion 20', () => {
  it.each<[string, Messages, boolean, number, number]>([
    ['London', london, true, 174, 293],
    ['capitals', capitals, false, 23, 202],
    ['user only', userOnly, false, 26, 194],
    ['one round', oneRound, true, 218, 336],
    ['two calls', twoCalls, true, 261, 377],
  ])('%s', async (_, messages, withTools, qwen, hermes) => {
    const body: ChatBody = { messages, ...(withTools && { tools: [weather] }) };
    expect((await prompt(body)).tokens).toBe(qwen);
    expect((await prompt({ ...body, chat_template: 'hermes' })).tokens).toBe(hermes);
  });
  it('completion 20', async () => {
    const body = { messages: london, tools: [weather], ...(await saying(markup('London'))) };
    expect((await run(body)).usage).toEqual({
      prompt_tokens: 174,
      total_tokens: 194,
      completion_tokens: 20,
      prompt_tokens_details: null,
    });
  });
});

describe('Byte test of a non-stream reply’s key set and order against both seed replies (2.3)', () => {
  it.each([
    ['london', london, markup('London')],
    ['basic', capitals, 'Sure! Here is a list of some European capitals...'],
  ])('%s', async (name, messages, text) => {
    const seed = JSON.parse(
      readFileSync(new URL(`replies/${name}.json`, import.meta.url), 'utf8'),
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

describe('One tool-call element per chunk; id+type+name once; `{}` for no-arg calls; concat(stream)==full for random chunking 1..8 tokens and for partial tags/UTF-8', () => {
  // A stream of its own, so that a failure can be repeated.
  let state = 7;
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return (state >> 8) % below;
  };
  const cut = (text: string): string[] => {
    const letters = [...text];
    const pieces: string[] = [];
    while (letters.length > 0) pieces.push(letters.splice(0, 1 + random(8)).join(''));
    return pieces;
  };
  const places = ['Zürich', '東京 😀', 'a \\"b\\" </tool_call>', '{x: [1]}', "l'Aquila"];
  it.each(Array.from({ length: 12 }, (_, round) => round))('random borders, round %i', async () => {
    const calls = Array.from({ length: 1 + random(3) }, () => places[random(places.length)] ?? '');
    const bare = random(2) === 0 ? ['<tool_call>\n{"name": "now"}\n</tool_call>'] : [];
    const text = ['Hm. <', ...calls.map(markup), ...bare].join('\n');
    const now = { type: 'function' as const, function: { name: 'now' } };
    const body = { messages: london, tools: [weather, now], ...(await saying(...cut(text))) };
    const { message, finish_reason } = one((await run(body)).choices);
    expect(finish_reason).toBe('tool_calls');
    expect(message.content).toBe('Hm. <\n');
    const seen: { name: string; arguments: string }[] = [];
    let content = '';
    for (const { choices } of await streamed(body)) {
      const delta = choices[0]?.delta ?? {};
      content += delta.content ?? '';
      if (!delta.tool_calls) continue;
      expect(delta.tool_calls.length).toBe(1);
      for (const { index, id, type, function: part } of delta.tool_calls) {
        const first = index === seen.length;
        expect([typeof id, type, typeof part.name]).toEqual(
          first ? ['string', 'function', 'string'] : ['undefined', undefined, 'undefined'],
        );
        if (first) seen.push({ name: part.name ?? '', arguments: '' });
        expect(index).toBe(seen.length - 1);
        (seen[index] as (typeof seen)[0]).arguments += part.arguments;
      }
    }
    expect(content).toBe(message.content);
    expect(seen).toEqual(message.tool_calls.map((call) => call.function));
    const meant = calls.map((place) => JSON.parse(`"${place}"`) as string);
    expect(seen.map((call) => JSON.parse(call.arguments) as unknown)).toEqual([
      ...meant.map((location) => ({ location })),
      ...bare.map(() => ({})),
    ]);
    if (bare.length > 0) expect(seen.at(-1)?.arguments).toBe('{}');
  });
  it('a call cut off by max_tokens finishes as length: whole answers give its text, no answer its markup as a call', async () => {
    const { forced_token_ids: ids } = await saying(markup('London'));
    const body = { messages: london, tools: [weather], forced_token_ids: ids.slice(0, 12) };
    const choice = one((await run(body)).choices);
    expect([choice.finish_reason, choice.message.tool_calls]).toEqual(['length', []]);
    expect(choice.message.content).toBe(await ai.detokenize(ids.slice(0, 12)));
    const chunks = await streamed(body);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe('length');
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('');
  });
});

describe('History replay: `tool_calls:[]`, `tool_calls:null`, `content:null`, `arguments:""`, several tool results, `developer` role, list content in every role', () => {
  const text = async (messages: unknown[]): Promise<string> =>
    (await prompt({ messages: messages as Messages })).text;
  const said = { role: 'assistant', content: 'hi' };
  it('no calls, however that is spelled', async () => {
    const plain = await text([...hello, said, ...hello]);
    for (const tool_calls of [[], null, undefined])
      expect(await text([...hello, { ...said, tool_calls }, ...hello])).toBe(plain);
    const parts = [{ type: 'text', text: 'hi' }];
    for (const content of [parts, ['hi'], [{ type: 'output_text', text: 'hi' }]])
      expect(await text([...hello, { ...said, content }, ...hello])).toBe(plain);
  });
  it('calls without content or arguments, and several results in one turn', async () => {
    const replay = (args: unknown, content?: unknown): Promise<string> =>
      text([
        ...hello,
        {
          role: 'assistant',
          content,
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: args } }],
        },
        { role: 'tool', tool_call_id: 'a', content: '1' },
        { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: '2' }] },
      ]);
    const expected = await replay('{}', null);
    expect(expected).toContain(
      '<|im_start|>assistant\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call><|im_end|>\n' +
        '<|im_start|>user\n<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response><|im_end|>\n',
    );
    for (const args of ['', null, undefined, ' ', {}]) expect(await replay(args)).toBe(expected);
    for (const content of ['', [], undefined]) expect(await replay('{}', content)).toBe(expected);
  });
  it('developer is system, other roles have turns of their own, every role takes lists', async () => {
    const system = await text([{ role: 'system', content: 'be brief' }, ...hello]);
    expect(await text([{ role: 'developer', content: 'be brief' }, ...hello])).toBe(system);
    expect(await text([...hello, { role: 'judge', content: 'good' }])).toContain(
      '<|im_start|>judge\ngood<|im_end|>\n',
    );
    for (const role of ['system', 'developer', 'user', 'assistant', 'tool', 'judge']) {
      const [whole, list] = await Promise.all(
        ['one', [{ type: 'text', text: 'o' }, { text: 'ne' }]].map((content) =>
          text([...hello, { role, content }]),
        ),
      );
      expect(list).toBe(whole);
    }
  });
  it('a reply goes back as it came', async () => {
    const body = {
      messages: london,
      tools: [weather],
      ...(await saying('Well.', markup('London'))),
    };
    const { message } = one((await run(body)).choices);
    const { text: again } = await prompt({ messages: [...london, message], tools: [weather] });
    expect(again).toContain(`<|im_start|>assistant\nWell.\n${markup('London')}<|im_end|>\n`);
  });
});

describe('Tools: no description, no parameters, nullable types, `$ref`, `strict`, 0 tools, duplicate names; tool_choice null/none/auto/required/named/unknown', () => {
  const tool = (fields: object): unknown => ({
    type: 'function',
    function: { name: 'f', ...fields },
  });
  const nullable = { type: 'object', properties: { a: { type: ['string', 'null'] } } };
  const ref = {
    $defs: { A: { type: 'integer' } },
    type: 'object',
    properties: { a: { $ref: '#/$defs/A' } },
  };
  it.each<[string, unknown[]]>([
    ['no description', [tool({ parameters: {} })]],
    ['no parameters', [tool({ description: 'd' })]],
    ['nullable types', [tool({ description: 'd', parameters: nullable })]],
    ['$ref', [tool({ parameters: ref })]],
    ['strict', [tool({ strict: true, parameters: nullable })]],
    ['duplicate names', [tool({ description: 'one' }), tool({ description: 'two' })]],
  ])('%s: shown as they came, by both templates, and called', async (_, tools) => {
    const body = { messages: hello, tools: tools as NonNullable<ChatBody['tools']> };
    const { text } = await prompt(body);
    for (const each of tools)
      expect(text.replace(/[ \n]/g, '')).toContain(JSON.stringify(each).replace(/[ \n]/g, ''));
    expect((await prompt({ ...body, chat_template: 'hermes' })).tokens).toBeGreaterThan(200);
    const call = '<tool_call>\n{"name": "f", "arguments": {"a": null}}\n</tool_call>';
    const { message } = one((await run({ ...body, ...(await saying(call)) })).choices);
    expect(message.tool_calls[0]?.function).toEqual({ name: 'f', arguments: '{"a": null}' });
  });
  it('0 tools are none', async () => {
    const plain = await prompt({ messages: hello });
    for (const tools of [[], null]) expect(await prompt({ messages: hello, tools })).toEqual(plain);
    for (const tool_choice of ['none', 'auto', 'required', null] as const)
      expect(await prompt({ messages: hello, tool_choice })).toEqual(plain);
  });
  it('null and auto are the default; none hides the tools and leaves markup alone', async () => {
    const body = { messages: london, tools: [weather], ...(await saying(markup('Rom'))) };
    for (const tool_choice of [null, 'auto', undefined] as const) {
      const choice = one(
        (await run({ ...body, ...(tool_choice !== undefined && { tool_choice }) })).choices,
      );
      expect([choice.finish_reason, choice.message.tool_calls.length]).toEqual(['tool_calls', 1]);
    }
    const none = { ...body, tool_choice: 'none' as const };
    expect(await prompt(none)).toEqual(await prompt({ messages: london }));
    expect(one((await run(none)).choices).message).toMatchObject({
      content: markup('Rom'),
      tool_calls: [],
    });
  });
  it('parallel_tool_calls: false gives one call', async () => {
    const said = await saying(markup('Rom'), '\n', markup('Paris'));
    const body = { messages: london, tools: [weather], ...said };
    expect(one((await run(body)).choices).message.tool_calls.length).toBe(2);
    const single = { ...body, parallel_tool_calls: false };
    const choice = one((await run(single)).choices);
    expect([choice.finish_reason, choice.message.tool_calls.length]).toEqual(['tool_calls', 1]);
    const deltas = (await streamed(single)).flatMap(
      ({ choices }) => choices[0]?.delta.tool_calls ?? [],
    );
    expect(new Set(deltas.map(({ index }) => index))).toEqual(new Set([0]));
  });
  it.each([
    ['maybe', /Invalid value for `tool_choice`: "maybe"/],
    [
      { type: 'function', function: { name: 'other' } },
      /does not match any of the specified `tools`/,
    ],
    [{ type: 'function' }, /Expected field `function` in `tool_choice`/],
  ])('unknown %j is refused', async (tool_choice, message) => {
    const told = await refusal({ messages: london, tools: [weather], tool_choice });
    expect(told).toMatchObject({ status: 400, type: 'BadRequestError', param: 'tool_choice' });
    expect((told as { message: string }).message).toMatch(message);
  });
});

describe('Sampling: temperature 0 determinism, seed determinism, n>1 order by index, stop string spanning tokens, stop_token_ids integer stop_reason, min_tokens, logit_bias ±100, logprobs incl. eos, prompt_logprobs first null', () => {
  const ids = async (body: Partial<ChatBody>): Promise<number[][]> => {
    const base = { messages: hello, max_tokens: 8, ignore_eos: true, return_token_ids: true };
    return (await run({ ...base, ...body })).choices.map(({ token_ids = [] }) => token_ids);
  };
  it('temperature 0 and seeds repeat; other seeds do not; streams say the same', async () => {
    expect(await ids({ temperature: 0 })).toEqual(await ids({ temperature: 0 }));
    const seven = await ids({ temperature: 1, seed: 7 });
    expect(await ids({ temperature: 1, seed: 7 })).toEqual(seven);
    expect(await ids({ temperature: 1, seed: 8 })).not.toEqual(seven);
    const body = { messages: hello, max_tokens: 8, temperature: 1, seed: 7 };
    const text = (await streamed(body))
      .map(({ choices }) => choices[0]?.delta.content ?? '')
      .join('');
    expect(text).toBe(one((await run(body)).choices).message.content);
  });
  it('n choices come by index, each as if asked alone', async () => {
    const body = { messages: hello, n: 3, seed: 20, temperature: 1, max_tokens: 5 };
    const { choices, usage } = await run(body);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(usage.completion_tokens).toBe(
      (await ids({ ...body, return_token_ids: true })).flat().length,
    );
    const second = one((await run({ ...body, n: 1, seed: 21 })).choices);
    expect(choices[1]?.message).toEqual(second.message);
  });
  it('a stop string spanning tokens, with and without itself', async () => {
    const said = await saying('The wea', 'ther in Lon', 'don is fine');
    const body = { messages: hello, ...said, stop: ['nothing', 'in London'] };
    expect(one((await run(body)).choices)).toMatchObject({
      message: { content: 'The weather ' },
      finish_reason: 'stop',
      stop_reason: 'in London',
    });
    const kept = one((await run({ ...body, include_stop_str_in_output: true })).choices);
    expect(kept.message.content).toBe('The weather in London');
  });
  it('stop_token_ids, min_tokens and logit_bias', async () => {
    const [x = 0] = await ai.tokenize('x');
    const [end = 0] = await ai.tokenize('<|im_end|>');
    const only = (id: number): Partial<ChatBody> => ({ logit_bias: { [id]: 100 }, temperature: 0 });
    const stopped = await run({ messages: hello, ...only(x), stop_token_ids: [x] });
    expect(one(stopped.choices)).toMatchObject({ finish_reason: 'stop', stop_reason: x });
    const late = { ...only(end), min_tokens: 3, ignore_eos: false };
    expect((await ids(late))[0]?.indexOf(end)).toBe(3);
    expect(await ids(only(x))).toEqual([Array.from({ length: 8 }, () => x)]);
    const [[best = 0] = []] = await ids({ temperature: 0 });
    expect((await ids({ temperature: 0, logit_bias: { [best]: -100 } }))[0]).not.toContain(best);
    expect(await refusal({ messages: hello, logit_bias: { 151936: 1 } })).toMatchObject({
      status: 400,
      param: 'logit_bias',
    });
  });
  it('log-probabilities, of the end too, whole and streamed, by text or by id', async () => {
    const said = await saying('Grüße');
    const body = { messages: hello, ...said, logprobs: true, top_logprobs: 2 };
    const entries = one((await run(body)).choices).logprobs?.content ?? [];
    expect(entries.length).toBe(said.forced_token_ids.length);
    expect(entries.at(-1)?.token).toBe('<|im_end|>');
    for (const entry of entries) {
      expect(Object.keys(entry)).toEqual(['token', 'logprob', 'bytes', 'top_logprobs']);
      expect(entry.top_logprobs.length).toBe(2);
      expect(entry.logprob).toBeLessThanOrEqual(entry.top_logprobs[0]?.logprob ?? NaN);
    }
    const bytes = entries.slice(0, -1).flatMap((entry) => entry.bytes ?? []);
    expect(Buffer.from(bytes).toString()).toBe('Grüße');
    const chunks = await streamed(body);
    expect(chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])).toEqual(entries);
    const named = await run({ ...body, return_tokens_as_token_ids: true });
    expect(one(named.choices).logprobs?.content.map(({ token }) => token)).toEqual(
      said.forced_token_ids.map((id) => `token_id:${id}`),
    );
    expect(one((await run({ messages: hello, max_tokens: 1 })).choices).logprobs).toBeNull();
    expect(await refusal({ ...body, top_logprobs: 21, stream: true })).toMatchObject({
      status: 400,
    });
  });
  it('prompt_logprobs: the first is null, each other has the token itself', async () => {
    const body = { messages: hello, max_tokens: 1, prompt_logprobs: 1, return_token_ids: true };
    const { prompt_logprobs, prompt_token_ids = [] } = await run(body);
    expect(prompt_logprobs?.length).toBe(prompt_token_ids.length);
    const [first, ...others] = (prompt_logprobs ?? []) as Record<string, object>[];
    expect(first).toBeNull();
    for (const [i, entry] of others.entries())
      expect(Object.keys(entry[String(prompt_token_ids[i + 1])] ?? {})).toEqual([
        'logprob',
        'rank',
        'decoded_token',
      ]);
    expect((await run({ messages: hello, max_tokens: 1 })).prompt_logprobs).toBeNull();
    for (const wrong of [{ prompt_logprobs: -1 }, { prompt_logprobs: 1, stream: true }])
      expect(await refusal({ messages: hello, ...wrong })).toMatchObject({
        param: 'prompt_logprobs',
      });
  });
  it('echo and continue_final_message', async () => {
    const messages = [...hello, { role: 'assistant', content: 'Well, ' }];
    const body = { messages, continue_final_message: true, echo: true, ...(await saying('yes')) };
    expect((await prompt({ messages, continue_final_message: true })).text).toMatch(/Well, $/);
    expect(one((await run(body)).choices).message.content).toBe('Well, yes');
    const contents = (await streamed(body)).map(({ choices }) => choices[0]?.delta.content);
    expect(contents.slice(0, 2)).toEqual(['', 'Well, ']);
    expect(contents.join('')).toBe('Well, yes');
    expect(await refusal({ ...body, add_generation_prompt: true })).toMatchObject({ status: 400 });
  });
});

describe('Images: data URI with/without extra params, uppercase scheme, png/jpeg/webp/gif, alpha, EXIF, 1×1, ratio >200, multiple images, image_url as bare string, missing file, non-image bytes, 404/timeouts → 400 with cause', () => {
  const data = (bytes: Uint8Array, head = 'data:image/bmp;base64,'): string =>
    head + Buffer.from(bytes).toString('base64');
  const golden = (name: string): Uint8Array =>
    readFileSync(join(root, 'tests/golden/images', name));
  const image = (url: string) => ({ type: 'image_url', image_url: { url } });
  const asking = (...content: unknown[]): ChatBody => ({
    messages: [{ role: 'user', content: [...content, { type: 'text', text: '?' }] as never }],
  });
  const tokens = async (...content: unknown[]): Promise<number> =>
    (await prompt(asking(...content))).tokens;
  const small = bitmap(56, 56); // 2 x 2 tokens between two marks

  it('every spelling of one picture counts the same', async () => {
    const plain = await tokens(image(data(small)));
    expect(plain - (await tokens())).toBe(6);
    const spellings = [
      image(data(small, 'data:image/bmp;charset=utf-8;base64,')),
      image(data(small, 'data:;base64,')),
      image(data(small, 'DATA:IMAGE/BMP;BASE64,')),
      image(`${base}/ok`),
      image(`${base.replace('http', 'HTTP')}/ok`),
      { type: 'image_url', image_url: data(small) },
      { image_url: data(small) },
    ];
    for (const spelling of spellings) expect(await tokens(spelling)).toBe(plain);
    expect(await tokens(image(data(small)), image(data(small)))).toBe(plain + 6);
  });
  it.each([
    'color6_8.png',
    'q90_444_progressive.jpg',
    'rgb_lossy.webp',
    'rgba_lossless.webp',
    'transparent1.gif',
    'animated.gif',
    'exif_2.jpg',
    'edge_1x1.jpg',
  ])('%s is seen, and its sizes are told', async (name) => {
    const body = { ...asking(image(data(golden(name)))), max_tokens: 2, return_image_sizes: true };
    const whole = await run(body);
    expect(whole.usage.completion_tokens).toBeGreaterThan(0);
    const [size] = whole.images ?? [];
    expect([(size?.width ?? NaN) % 28, (size?.height ?? NaN) % 28]).toEqual([0, 0]);
    if (name === 'edge_1x1.jpg') expect(size).toMatchObject({ source_width: 1, source_height: 1 });
    const chunks = await streamed(body);
    expect(chunks.map(({ images }) => images)).toEqual([
      whole.images,
      ...chunks.slice(1).map(() => undefined),
    ]);
    expect(await run({ ...body, return_image_sizes: false })).not.toHaveProperty('images');
  });
  it('min_pixels and max_pixels decide the size', async () => {
    const sized = async (kwargs: object): Promise<number> =>
      (await prompt({ ...asking(image(data(bitmap(280, 280)))), mm_processor_kwargs: kwargs }))
        .tokens;
    expect((await sized({})) - (await sized({ max_pixels: 56 * 56 }))).toBe(100 - 4);
    expect((await sized({ min_pixels: 560 * 560 })) - (await sized({}))).toBe(400 - 100);
  });
  it.each<[string, () => unknown, RegExp]>([
    ['ratio >200', () => image(data(bitmap(2010, 10))), /200/],
    ['a missing file', () => image('file:///nowhere/x.png'), /cannot be read: ENOENT/],
    ['non-image bytes', () => image(data(Buffer.from('<html>no picture</html>'))), /image/i],
    ['a page', () => image(`${base}/text`), /image/i],
    ['404', () => image(`${base}/none`), /127\.0\.0\.1:\d+ cannot be fetched: HTTP status 404/],
    ['a time-out', () => image(`${base}/slow`), /no answer in 400 ms/],
    ['no base64', () => image('data:image/png;base64,@@'), /not base64/],
    ['half a picture', () => image(data(golden('color6_8.png').subarray(0, 60))), /image/i],
  ])('%s → 400 with cause', async (_, part, message) => {
    const told = (await refusal(asking(part()))) as { message: string };
    expect(told).toMatchObject({ status: 400, type: 'BadRequestError' });
    expect(told.message).toMatch(message);
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
