// The example programs as their READMEs start them, with the embedded model, and the demo's screen on a random one.
// Surprise: what the embedded model says may change when it is trained again, but not beyond what is held here.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ChatCompletionChunk } from '../../js/index.ts';
import { dataOf, events, pieces, startStub } from '../remote/stub.ts';
import { node, randomModel, removal, root } from './real_model.ts';

let model = '';
beforeAll(async () => {
  const made = await randomModel();
  ({ model } = made);
  return removal(made.folder);
});

const pictures = join(root, 'models/demo/examples');
const truth = JSON.parse(readFileSync(join(pictures, 'truth.json'), 'utf8')) as Record<
  string,
  { things: { label: string }[] }
>;

describe('examples/node/main.mjs', () => {
  it.each([
    ['street.png', []],
    ['shapes.png', [pathToFileURL(join(pictures, 'shapes.png')).href]],
    [
      'stars.png',
      [`data:image/png;base64,${readFileSync(join(pictures, 'stars.png')).toString('base64')}`],
    ],
  ])('describes %s', async (name, words) => {
    const ended = await node([join(root, 'examples/node/main.mjs'), ...words]);
    expect(ended).toMatchObject({ code: 0, err: '' });
    expect(ended.out).toMatch(/^The image shows .*\.\n$/);
    // "yellow star", or "yellow stars" where there are several
    const named = (truth[name]?.things ?? []).filter(({ label }) => ended.out.includes(label));
    expect(named.length).toBeGreaterThan(0);
  });

  it('ends with what is wrong with an image', async () => {
    const ended = await node([join(root, 'examples/node/main.mjs'), 'file:///nowhere.png']);
    expect([ended.code, ended.out]).toEqual([1, '']);
    expect(ended.err).toMatch(
      /BadRequestError\]: messages\[0\]\.content\[0\]: file:\/\/\/nowhere\.png/,
    );
  });
});

it.each([
  ['the embedded model', []],
  ['a container that is named', [join(root, 'models/demo/container')]],
])('examples/edge-function answers with %s', async (_, words) => {
  const ended = await node([join(root, 'examples/edge-function/try.mjs'), ...words]);
  expect(ended).toMatchObject({ code: 0, err: '' });
  const [head, ...events] = ended.out.split(/\n(?:\n|(?=data: \{"id"))/);
  expect(head).toBe('200 text/event-stream; charset=utf-8');
  expect(events.splice(-2)).toEqual(['data: [DONE]', '']);
  const said = events.map((event) => {
    const chunk = JSON.parse(event.slice('data: '.length)) as ChatCompletionChunk;
    expect(chunk.model).toBe('qwen-qwen25-vl-3b-instruct-awq');
    return chunk.choices[0]?.delta.content ?? '';
  });
  expect(said.join('')).toMatch(/Paris/);
});

it('examples/edge-function answers from an endpoint when the environment names one, unchanged', async () => {
  const stub = await startStub();
  stub.script(pieces([events(dataOf(['From ', 'there.'], false))]));
  const variables = { OCELLI_ENGINE: 'remote', OCELLI_REMOTE_URL: stub.url };
  Object.assign(process.env, variables);
  try {
    const ended = await node([join(root, 'examples/edge-function/try.mjs')]);
    expect(ended).toMatchObject({ code: 0, err: '' });
    const served = events(dataOf(['From ', 'there.'], false));
    const id = 'qwen-qwen25-vl-3b-instruct-awq';
    const head = '200 text/event-stream; charset=utf-8\n';
    expect(ended.out).toBe(head + served.replaceAll('"served"', `"${id}"`));
    expect(stub.seen.map(({ path, json }) => [path, json['model']])).toEqual([
      ['/v1/chat/completions', id],
    ]);
  } finally {
    for (const name of Object.keys(variables)) Reflect.deleteProperty(process.env, name);
    await stub.close();
  }
});

it('models/demo/show.mjs shows a description, boxes and a tool call', async () => {
  const ended = await node([join(root, 'models/demo/show.mjs'), model]);
  expect(ended).toMatchObject({ code: 0, err: '' });
  for (const title of ['a description', 'boxes as JSON', 'a tool call'])
    expect(ended.out).toContain(`--- ${title}`);
  expect(
    ended.out.match(/\d+ prompt tokens, first token after [\d.]+ s, \d+ tokens/g)?.length,
  ).toBe(5);
});
