// What functions written for the platform do with an answer. Part of checklist.test.ts; the platform's own machine is in
// tests/runtimes/edge_vm.test.ts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, ChatBody, ChatCompletion, ChatStream } from '../../../js/index.ts';
import { builtPackage, variantNames } from '../real_model.ts';
import { hello } from './context.ts';

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const body: ChatBody = { messages: hello, temperature: 0, max_tokens: 4, ignore_eos: true };

describe('Azion: merge with existing `globalThis.Azion`; JSON.stringify(result); `return result` for stream; for-await; `.json()`', () => {
  const kept = { get: () => 'kept' };
  let installed: AI;
  let run: AI['run'];
  let whole: ChatCompletion;
  const scope = globalThis as unknown as { Azion?: { KV?: unknown; AI: AI } };
  beforeAll(async () => {
    Object.assign(scope, { Azion: { KV: kept } });
    const [variant] = variantNames;
    installed = (await builtPackage()).install(variant ? { variant } : {});
    ({ run } = scope.Azion!.AI);
    whole = await run(model, { ...body, stream: false });
  });
  afterAll(async () => {
    delete scope.Azion;
    await installed.close();
  });
  const streamed = (): Promise<ChatStream> => run(model, { ...body, stream: true });

  it('what was there stays', () => {
    expect(scope.Azion?.KV).toBe(kept);
    expect(run).toBe(installed.run);
  });
  it('an answer is a plain object: its JSON is all of it', () => {
    expect(JSON.parse(JSON.stringify(whole))).toEqual(whole);
    expect(whole.choices[0]?.message.content).toMatch(/\S/);
  });
  it('a stream is a Response that a handler returns', async () => {
    const handler = async (): Promise<Response> => streamed();
    const response = await handler();
    expect(response).toBeInstanceOf(Response);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(await response.text()).toMatch(/^data: \{"id".*\n\ndata: \[DONE\]\n\n$/s);
  });
  it('a stream is iterated over, and assembled', async () => {
    let text = '';
    for await (const { choices } of await streamed()) text += choices[0]?.delta.content ?? '';
    const assembled = await (await streamed()).json();
    expect(text).toBe(whole.choices[0]?.message.content);
    expect({ ...assembled, id: '', created: 0 }).toEqual({ ...whole, id: '', created: 0 });
  });
});
