// The example programs and the demo's screen run as they are printed, on a random model.
import { beforeAll, expect, it } from 'vitest';
import { join } from 'node:path';
import { node, randomModel, removal, root } from './real_model.ts';

let model = '';
beforeAll(async () => {
  const made = await randomModel();
  ({ model } = made);
  return removal(made.folder);
});

it('examples/edge-function answers with a stream', async () => {
  const ended = await node([join(root, 'examples/edge-function/try.mjs'), model]);
  expect(ended).toMatchObject({ code: 0, err: '' });
  expect(ended.out).toMatch(/^200 text\/event-stream; charset=utf-8\ndata: \{"id":"chatcmpl-/);
  expect(ended.out).toMatch(/"model":"qwen-qwen25-vl-3b-instruct-awq"/);
  expect(ended.out.endsWith('data: [DONE]\n\n')).toBe(true);
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
