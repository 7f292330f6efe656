// Tools: definitions, choices, calls in streams. Part of checklist.test.ts.
import { describe, expect, it } from 'vitest';
import type { ChatBody } from '../../../js/index.ts';
import {
  ai,
  hello,
  london,
  markup,
  one,
  prompt,
  refusal,
  run,
  saying,
  streamed,
  weather,
} from './context.ts';

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
  ])('%s: shown as they came, by both templates, and called', async (which, tools) => {
    const body = { messages: hello, tools: tools as NonNullable<ChatBody['tools']> };
    const { text } = await prompt(body);
    for (const each of tools)
      expect(text.replace(/[ \n]/g, '')).toContain(JSON.stringify(each).replace(/[ \n]/g, ''));
    expect((await prompt({ ...body, chat_template: 'hermes' })).tokens).toBeGreaterThan(200);
    if (which === 'strict') {
      // Held to its schema, which forced tokens would get around.
      const asked = { ...body, tool_choice: 'required' as const, temperature: 0, max_tokens: 40 };
      const { message } = one((await run(asked)).choices);
      expect(message.tool_calls[0]?.function.name).toBe('f');
      expect(message.tool_calls[0]?.function.arguments).toMatch(/^\{("a": ?(null|"[^]*))?/);
      return;
    }
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
