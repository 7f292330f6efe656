// Prompts: the templates' token counts, and histories in every spelling that clients send. Part of checklist.test.ts.
import { describe, expect, it } from 'vitest';
import type { ChatBody } from '../../../js/index.ts';
import {
  type Messages,
  hello,
  london,
  markup,
  one,
  prompt,
  run,
  saying,
  weather,
} from './context.ts';

const userOnly: Messages = [{ role: 'user', content: 'What is the weather in London?' }];
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
