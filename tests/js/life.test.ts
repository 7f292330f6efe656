// The life of an engine, on scripted cores: unloaded when nobody asks, one at a time, closed by `await using`. Surprise: what
// an engine's end waits for is let go by the test, so that others can ask meanwhile.
import { describe, expect, it, vi } from 'vitest';
import { createAI, type AIOptions } from '../../js/ai.ts';
import type { AI, ChatStream } from '../../js/index.ts';
import type { Engine } from '../../js/thread/protocol.ts';
import { fakeEngine, type Place, rejection } from './fake_ai.ts';
import { type FakeCore, fakeCore, type Script, textScript } from './fake_core.ts';
import { node, root } from './real_model.ts';

const messages = [{ role: 'user', content: 'hello' }];
const endless: Script = [
  [{ type: 'prompt', prompt_tokens: 1, images: [] }],
  [{ type: 'delta', index: 0, text: 'x', tokens: 1 }],
  'forever',
];
const script = ({ user }: Record<string, unknown>): Script =>
  user === 'endless' ? endless : textScript(['fine']);

/** An AI whose engines are counted; while `held`, their closing waits. */
function counted(place: Place, options: AIOptions) {
  const cores: FakeCore[] = [];
  const seen = { opened: 0, closed: 0, most: 0, held: false, release: (): void => undefined };
  const opener = async (): Promise<Engine> => {
    seen.opened++;
    seen.most = Math.max(seen.most, seen.opened - seen.closed);
    const core = fakeCore(script);
    cores.push(core);
    const engine = await fakeEngine(core, place);
    let closing: Promise<void> | undefined;
    const close = async (): Promise<void> => {
      if (seen.held) await new Promise<void>((resolve) => (seen.release = resolve));
      await engine.close();
      seen.closed++;
    };
    return new Proxy(engine, {
      get: (from, name) =>
        name === 'close' ? () => (closing ??= close()) : Reflect.get(from, name, from),
    });
  };
  return { cores, seen, ai: createAI(options, opener) };
}
const text = async (ai: AI): Promise<unknown> =>
  (await ai.run(null, { messages })).choices[0]?.message.content;
const turns = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.each(['inline', 'line'] as Place[])('%s', (place) => {
  it('unloads the engine when nobody has asked for long, and opens it again', async () => {
    const { ai, seen, cores } = counted(place, { idleUnloadMs: 20 });
    for (let round = 1; round <= 3; round++) {
      expect(await text(ai)).toBe('fine');
      await vi.waitUntil(() => seen.closed === round);
      expect([seen.opened, cores.at(-1)?.closed, cores.at(-1)?.stopped]).toEqual([
        round,
        true,
        true,
      ]);
    }
    expect(await ai.tokenize('a')).toEqual([97, 1]);
    await vi.waitUntil(() => seen.closed === 4);
    expect((await ai.info()).model).toBe('fake-model');
    await vi.waitUntil(() => seen.closed === 5);
    expect(seen.most).toBe(1);
  });

  it('keeps it while an answer is being made, read or not', async () => {
    const { ai, seen } = counted(place, { idleUnloadMs: 5 });
    const streamed = (await ai.run(null, {
      messages,
      user: 'endless',
      stream: true,
    })) as ChatStream;
    const control = new AbortController();
    const { signal } = control;
    const whole = ai.run(null, { messages, user: 'endless', signal });
    const ended = expect(whole).rejects.toThrow(/abort/i);
    await turns(60);
    expect(seen.closed).toBe(0);
    await streamed.body?.cancel();
    await turns(40);
    expect(seen.closed).toBe(0);
    control.abort();
    await ended;
    await vi.waitUntil(() => seen.closed === 1);
  });

  it('loses no request that comes while it unloads', async () => {
    const { ai, seen } = counted(place, { idleUnloadMs: 5 });
    seen.held = true;
    expect(await text(ai)).toBe('fine');
    const released = seen.release;
    await vi.waitUntil(() => seen.release !== released);
    const late = Promise.all([text(ai), text(ai), ai.tokenize('a')]);
    await turns(20);
    expect([seen.opened, seen.closed]).toEqual([1, 0]); // its memory is not free yet
    seen.held = false;
    seen.release();
    expect(await late).toEqual(['fine', 'fine', [97, 1]]);
    expect([seen.opened, seen.most]).toEqual([2, 1]);
  });

  it('unloads after refusals and failures too, and after a signal that came before the engine', async () => {
    const { ai, seen } = counted(place, { idleUnloadMs: 20 });
    expect((await rejection(ai.run('gpt-5', { messages }))).status).toBe(404);
    await vi.waitUntil(() => seen.closed === 1);
    expect((await rejection(ai.detokenize([0.5]))).code).toBe('invalid_token_id');
    await vi.waitUntil(() => seen.closed === 2);
    const control = new AbortController();
    const early = ai.run(null, { messages, signal: control.signal });
    control.abort();
    await expect(early).rejects.toThrow(/abort/i);
    await vi.waitUntil(() => seen.closed === 3);
    expect(seen.opened).toBe(3);
  });

  it('stays without the option', async () => {
    const { ai, seen } = counted(place, {});
    expect(await text(ai)).toBe('fine');
    await turns(60);
    expect(seen.closed).toBe(0);
    await ai.close();
    expect(seen.closed).toBe(1);
  });

  it('closes when what holds it goes out of scope', async () => {
    const { ai, seen, cores } = counted(place, {});
    {
      await using mine = ai;
      expect(await text(mine)).toBe('fine');
    }
    expect([seen.closed, cores[0]?.stopped]).toEqual([1, true]);
    expect(await text(ai)).toBe('fine'); // and opens again, as after close()
    await ai.close();
  });

  it('opens a new one only when the crashed one is gone', async () => {
    const { ai, seen, cores } = counted(place, {});
    expect(await text(ai)).toBe('fine');
    cores[0]!.loaded.calls.step = () => {
      throw new WebAssembly.RuntimeError('unreachable');
    };
    expect((await rejection(text(ai))).code).toBe('engine_crashed');
    expect(await text(ai)).toBe('fine');
    expect([seen.opened, seen.closed, seen.most]).toEqual([2, 1, 1]);
    await ai.close();
  });

  it('closes twice, and before anything was opened', async () => {
    const { ai, seen } = counted(place, {});
    await ai.close();
    expect(await text(ai)).toBe('fine');
    await Promise.all([ai.close(), ai.close()]);
    expect([seen.opened, seen.closed]).toEqual([1, 1]);
  });
});

it('refuses a time that is none', () => {
  for (const idleUnloadMs of [-1, 0.5, NaN, 2 ** 31, Infinity])
    expect(() => createAI({ idleUnloadMs })).toThrow(
      /idleUnloadMs must be an integer from 0 to 2147483647, got /,
    );
});

it('keeps no process alive for the time-out', async () => {
  const program = `
    import { createAI } from ${JSON.stringify(`${root}/build/js/index.js`)};
    const ai = createAI({ idleUnloadMs: 600_000 });
    const { usage } = await ai.run(null, { messages: [{ role: 'user', content: 'hi' }], max_tokens: 3, ignore_eos: true });
    console.log(usage.completion_tokens);`;
  const ended = await node(['--input-type=module', '-e', program]);
  expect(ended).toEqual({ code: 0, out: '3\n', err: '' });
});
