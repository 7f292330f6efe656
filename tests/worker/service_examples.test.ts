// The hosted services' examples (examples/service) as their README starts them, against a real `ocelli serve` with the
// embedded model: replies have exactly the keys that the services document, in their order, and so have refusals.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { node, root } from '../js/real_model.ts';

interface Server {
  url: string;
  stop(): Promise<number | null>;
}
const { startServer } = (await import(join(root, 'tests/clients/server.mjs') as string)) as {
  startServer(words: string[]): Promise<Server>;
};

type Reply = Record<string, unknown>;

let server: Server;
beforeAll(async () => {
  const keys = ['gr-example', 'SG_example', 'example'].flatMap((key) => ['--api-key', key]);
  server = await startServer([...keys, '--price', '20', '--quiet']);
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** What an example prints, line by line. */
async function lines(name: string, key?: string): Promise<Reply[]> {
  if (key !== undefined) process.env['OCELLI_KEY'] = key;
  try {
    const ended = await node([join(root, 'examples/service', name), server.url]);
    expect(ended.err).toBe('');
    return ended.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Reply);
  } finally {
    delete process.env['OCELLI_KEY'];
  }
}

/** Every key of a value, where it stands; elements of an array share one place. */
function keysOf(value: unknown, place = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((one) => keysOf(one, `${place}[]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    `${place}.${key}`,
    ...keysOf(inner, `${place}.${key}`),
  ]);
}
const under = (place: string, ...keys: string[]): string[] => keys.map((key) => `${place}.${key}`);

const call = [
  ...under('.choices[].message.tool_calls[]', 'id', 'type', 'function'),
  ...under('.choices[].message.tool_calls[].function', 'name', 'arguments'),
];
/** The keys of the service's page, in its order. */
const completion = (calls: number): string[] => [
  ...under('', 'id', 'object', 'created', 'model', 'choices'),
  ...under('.choices[]', 'index', 'message'),
  ...under('.choices[].message', 'role', 'reasoning_content', 'content', 'tool_calls'),
  ...Array.from({ length: calls }, () => call).flat(),
  ...under('.choices[]', 'logprobs', 'finish_reason', 'stop_reason'),
  ...under('', 'usage'),
  ...under('.usage', 'prompt_tokens', 'total_tokens', 'completion_tokens', 'prompt_tokens_details'),
  ...under('', 'prompt_logprobs'),
];
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('Azion', () => {
  it('London: the call, its result, the answer', async () => {
    const [first, second, ...more] = await lines('azion_tools.mjs', 'example');
    expect(more).toEqual([]);
    expect(keysOf(first)).toEqual(completion(1));
    expect(first).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: 'chat.completion',
      model: 'qwen-qwen25-vl-3b-instruct-awq',
      choices: [
        {
          message: {
            content: null,
            tool_calls: [
              {
                id: expect.stringMatching(/^chatcmpl-tool-[0-9a-f]{32}$/),
                type: 'function',
                function: { name: 'get_weather', arguments: '{"location": "London"}' },
              },
            ],
          },
          finish_reason: 'tool_calls',
        },
      ],
    });
    // What the embedded model makes of the result is its own affair.
    const { choices } = second as { choices: { message: { tool_calls: unknown[] } }[] };
    expect(keysOf(second)).toEqual(completion(choices[0]?.message.tool_calls.length ?? 0));
  });

  it('the same reply over HTTP, not read by anything of ours', async () => {
    const content = 'What is the weather in London?';
    const reply = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer example' },
      body: JSON.stringify({
        model: 'qwen-qwen25-vl-3b-instruct-awq',
        messages: [{ role: 'user', content }],
      }),
    });
    expect(keysOf(await reply.json())).toEqual(completion(0));
  });
});

describe('gigarouter', () => {
  it('an image, and boxes out of the answer', async () => {
    const [reply, boxes, ...more] = await lines('gigarouter_boxes.mjs');
    expect(more).toEqual([]);
    expect(keysOf(reply)).toEqual(completion(0));
    expect(reply).toMatchObject({ model: 'Qwen/Qwen2.5-VL-3B-Instruct' });
    const found = boxes as unknown as { bbox_2d: number[]; label: string }[];
    expect(found.length).toBeGreaterThan(0);
    for (const box of found) {
      expect(Object.keys(box)).toEqual(['bbox_2d', 'label']);
      expect(box.bbox_2d.length).toBe(4);
    }
  });

  it('refuses a wrong key as the service does', async () => {
    const [reply] = await lines('gigarouter_boxes.mjs', 'gr-wrong');
    expect(keysOf(reply)).toEqual(['.error', '.error.code', '.error.message']);
    expect(reply).toMatchObject({ error: { code: 'invalid_api_key' } });
  });
});

describe('Runware', () => {
  const text = expect.stringMatching(/^The image shows .*\.$/) as string;
  const caption = { taskType: 'caption', taskUUID: expect.stringMatching(uuid) as string };

  it('a caption over HTTP, at once and later', async () => {
    const [sync, accepted, done, ...more] = await lines('runware_http.mjs');
    expect(more).toEqual([]);
    expect(keysOf(sync)).toEqual([
      '.data',
      ...under('.data[]', 'taskType', 'taskUUID', 'text', 'cost'),
    ]);
    // Another text costs something else.
    const costOf = (reply?: Reply): number => (reply as { data: { cost: number }[] }).data[0]!.cost;
    for (const reply of [sync, done]) expect(costOf(reply)).toBeGreaterThan(0);
    const cost = expect.any(Number) as number;
    expect(sync).toEqual({ data: [{ ...caption, text, cost }] });
    expect(keysOf(accepted)).toEqual(['.data', ...under('.data[]', 'taskType', 'taskUUID')]);
    expect(keysOf(done)).toEqual([
      '.data',
      ...under('.data[]', 'taskType', 'taskUUID', 'status', 'text', 'cost'),
    ]);
    expect(done).toEqual({ data: [{ ...caption, status: 'success', text, cost }] });
  });

  it('a caption over its socket', async () => {
    const replies = await lines('runware_socket.mjs');
    expect(replies.map((reply) => keysOf(reply))).toEqual([
      ['.data', ...under('.data[]', 'taskType', 'connectionSessionUUID')],
      ['.data', ...under('.data[]', 'taskType', 'pong')],
      ['.data', ...under('.data[]', 'taskType', 'taskUUID', 'text', 'cost')],
    ]);
    expect(replies[0]).toMatchObject({
      data: [{ connectionSessionUUID: expect.stringMatching(uuid) }],
    });
    expect(replies[2]).toMatchObject({ data: [{ ...caption, text }] });
  });

  it('refuses a wrong key as the service does', async () => {
    const [reply] = await lines('runware_socket.mjs', 'wrong');
    expect(keysOf(reply)).toEqual([
      '.errors',
      ...under('.errors[]', 'code', 'message', 'parameter', 'taskType'),
    ]);
    expect(reply).toMatchObject({ errors: [{ code: 'invalidApiKey', parameter: 'apiKey' }] });
  });
});

describe('Segmind', () => {
  it('a question about an image', async () => {
    const [reply, ...more] = await lines('segmind_question.mjs');
    expect(more).toEqual([]);
    expect(keysOf(reply)).toEqual([
      ...under('', 'id', 'object', 'created', 'model', 'choices'),
      ...under('.choices[]', 'index', 'message'),
      ...under('.choices[].message', 'role', 'content'),
      ...under('.choices[]', 'finish_reason'),
      ...under('', 'usage'),
      ...under('.usage', 'prompt_tokens', 'completion_tokens', 'total_tokens'),
    ]);
    expect(reply).toMatchObject({
      id: expect.stringMatching(/^chat_/),
      model: 'qwen2p5-vl-32b-instruct',
      choices: [{ message: { role: 'assistant', content: expect.stringMatching(/\w/) } }],
    });
  });

  it('refuses a wrong key as the service does', async () => {
    const [reply] = await lines('segmind_question.mjs', 'SG_wrong');
    expect(reply).toEqual({ error: 'the API key is not known' });
  });
});
