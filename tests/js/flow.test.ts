// What happens to a request besides its answer: refusals, cancelling, crashes, in this thread and behind a line.
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RunBody } from '../../js/ai.ts';
import { OcelliError } from '../../js/errors.ts';
import type { ChatStream } from '../../js/types.ts';
import { install, run } from '../../js/index.ts';
import { modelAliases } from '../../js/models.ts';
import type { Place } from './fake_ai.ts';
import { fakeAI, fakeEngine, linePair, rejection, settled } from './fake_ai.ts';
import { type FakeCore, fakeCore, fakeSource, type Script, textScript } from './fake_core.ts';
import { openOverLine } from '../../js/thread/client.ts';

const messages = [{ role: 'user', content: 'hello' }];
const places: Place[] = ['inline', 'line'];
const endless: Script = [
  [{ type: 'prompt', prompt_tokens: 1, images: [] }],
  [{ type: 'delta', index: 0, text: 'x', tokens: 1 }],
  'forever',
];
const trapping: Script = [[{ type: 'prompt', prompt_tokens: 1, images: [] }], 'trap'];

describe.each(places)('%s', (place) => {
  it('rejects with the fields of what the core says', async () => {
    const refuse = (): Script => {
      throw new OcelliError(400, 'missing_field', 'messages is empty', 'messages');
    };
    const core = fakeCore(refuse);
    const error = await rejection(
      fakeAI(() => core, place).run(null, { messages: [], stream: true }),
    );
    const { name, type, status, code, param, message } = error;
    expect({ name, type, status, code, param, message }).toEqual({
      name: 'BadRequestError',
      type: 'BadRequestError',
      status: 400,
      code: 'missing_field',
      param: 'messages',
      message: 'messages is empty',
    });
    expect(core.held.size).toBe(0);
  });

  it('rejects an unknown model and echoes a known one', async () => {
    const ai = fakeAI(() => fakeCore(() => textScript(['a'])), place, { models: ['mine'] });
    const error = await rejection(ai.run('gpt-5', { messages }));
    expect([error.status, error.type, error.message]).toEqual([
      404,
      'NotFoundError',
      'The model `gpt-5` does not exist.',
    ]);
    for (const id of [...modelAliases, 'mine', 'fake-model'])
      expect((await ai.run(id, { messages })).model).toBe(id);
    for (const id of ['', null, undefined])
      expect((await ai.run(id, { messages })).model).toBe('fake-model');
  });

  it('turns an error before the first token into a rejection, a later one into an event', async () => {
    const failure = {
      type: 'error',
      status: 300,
      code: 'out_of_memory',
      http: 507,
      message: 'no room',
      param: null,
    } as const;
    const early = fakeAI(() => fakeCore(() => [[failure]]), place);
    expect((await rejection(early.run(null, { messages, stream: true }))).code).toBe(
      'out_of_memory',
    );
    const script: Script = [[{ type: 'prompt', prompt_tokens: 1, images: [] }], [failure]];
    const late = fakeAI(() => fakeCore(() => script), place);
    const text = await (await late.run(null, { messages, stream: true })).text();
    expect(text.slice(text.indexOf('data: {"error"'))).toBe(
      'data: {"error":{"message":"no room","type":"InternalServerError","param":null,"code":507}}\n\ndata: [DONE]\n\n',
    );
    expect((await rejection(late.run(null, { messages }))).status).toBe(507);
  });

  it('cancels within one step when a loop over the stream ends', async () => {
    const core = fakeCore(() => endless);
    const stream = await fakeAI(() => core, place).run(null, { messages, stream: true });
    let count = 0;
    for await (const { id } of stream) if (id && ++count === 5) break;
    await settled();
    expect([core.cancels, core.requests.size]).toEqual([1, 0]);
    const { steps } = core;
    await settled();
    expect(core.steps).toBe(steps);
  });

  it('cancels when the body is cancelled', async () => {
    const core = fakeCore(() => endless);
    const stream = await fakeAI(() => core, place).run(null, { messages, stream: true });
    const reader = (stream.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await settled();
    expect([core.cancels, core.requests.size]).toEqual([1, 0]);
  });

  it('stops on an AbortSignal: before, while answering, while streaming', async () => {
    const core = fakeCore(() => endless);
    const ai = fakeAI(() => core, place);
    await expect(ai.run(null, { messages, signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
    expect(core.opened.length).toBe(0);
    for (const stream of [false, true] as boolean[]) {
      const control = new AbortController();
      const reason = new Error('enough');
      const body: RunBody = { messages, stream, signal: control.signal };
      const opened = core.opened.length;
      const work = ai.run(null, body);
      const end = stream ? work.then((answer) => (answer as ChatStream).text()) : work;
      const ended = expect(end).rejects.toBe(reason);
      await vi.waitUntil(() => core.opened.length > opened);
      control.abort(reason);
      await ended;
    }
    await settled();
    expect([core.cancels, core.requests.size]).toEqual([2, 0]);
    expect(core.opened.some((json) => json.includes('signal'))).toBe(false);
  });

  it('survives a crash: pending runs fail, the core is left alone, the next run gets a fresh one', async () => {
    const cores: FakeCore[] = [fakeCore(() => trapping), fakeCore(() => textScript(['fine']))];
    let used = 0;
    const ai = fakeAI(() => cores[used++] as FakeCore, place);
    const both = await Promise.all([
      rejection(ai.run(null, { messages })),
      rejection(ai.run(null, { messages })),
    ]);
    expect(both.map(({ code, status }) => [code, status])).toEqual([
      ['engine_crashed', 500],
      ['engine_crashed', 500],
    ]);
    expect((await ai.run(null, { messages })).choices[0]?.message.content).toBe('fine');
    expect([cores[0]?.callsAfterTrap, cores[0]?.stopped, used]).toEqual([0, true, 2]);
  });

  it('opens one engine for all who wait, and tries again after a failed opening', async () => {
    const opened: FakeCore[] = [];
    const ai = fakeAI(() => {
      const core = fakeCore(() => (opened.length === 2 ? trapping : textScript(['fine'])));
      if (opened.push(core) === 1) throw new OcelliError(500, 'io_error', 'not there');
      return core;
    }, place);
    const all = (): Promise<unknown[]> =>
      Promise.allSettled([1, 2, 3].map(() => ai.run(null, { messages })));
    for (const status of ['rejected', 'rejected', 'fulfilled']) {
      expect(await all()).toMatchObject([{ status }, { status }, { status }]);
    }
    expect(opened.length).toBe(3);
  });

  it('answers several requests at once, each with its own events', async () => {
    const ai = fakeAI(() => fakeCore((body) => textScript([...(body['user'] as string)])), place);
    const texts = ['first', 'second one', 'third'];
    const answers = await Promise.all(texts.map((user) => ai.run(null, { messages, user })));
    expect(answers.map(({ choices }) => choices[0]?.message.content)).toEqual(texts);
  });

  it('rejects what is pending when it is closed, and opens again for the next run', async () => {
    const ai = fakeAI(
      () => fakeCore((body) => (body['user'] ? textScript(['new']) : endless)),
      place,
    );
    const pending = rejection(ai.run(null, { messages }));
    await ai.info();
    await settled();
    await ai.close();
    expect((await pending).code).toBe('engine_closed');
    expect((await ai.run(null, { messages, user: 'x' })).choices[0]?.message.content).toBe('new');
  });

  it('goes on where the function that is told throws, and hides that from nobody', async () => {
    const ai = fakeAI(() => fakeCore(() => textScript(['a', 'b'])), place);
    const uncaught: unknown[] = [];
    vi.stubGlobal('queueMicrotask', (work: () => void) => {
      try {
        work();
      } catch (error) {
        uncaught.push(error);
      }
    });
    const mine = new Error('mine');
    const onEvent = (): void => {
      throw mine;
    };
    try {
      const answer = await ai.run(null, { messages }, { onEvent });
      expect(answer.choices[0]?.message.content).toBe('ab');
    } finally {
      vi.unstubAllGlobals();
    }
    expect(uncaught.length).toBeGreaterThan(2);
    expect(new Set(uncaught)).toEqual(new Set([mine]));
  });

  it('hands over the dump before the end', async () => {
    const images = [
      {
        width: 28,
        height: 28,
        source_width: 30,
        source_height: 20,
        grid: [1, 2, 2] as [number, number, number],
      },
    ];
    const [, ...rest] = textScript(['a']);
    const ai = fakeAI(
      () => fakeCore(() => [[{ type: 'prompt', prompt_tokens: 1, images }], ...rest]),
      place,
    );
    const seen: string[] = [];
    const onEvent = (event: {
      type: string;
      files?: { name: string; data: Uint8Array }[];
    }): void => {
      seen.push(event.type);
      if (event.files)
        seen.push(
          ...event.files.map(({ name, data }) => `${name}=${new TextDecoder().decode(data)}`),
        );
    };
    await ai.run(null, { messages }, { dump: true, onEvent: onEvent as never });
    expect(seen.slice(-4)).toEqual([
      'dump',
      'prompt.json=prompt.json',
      'vision_0=vision_0',
      'done',
    ]);
  });

  it('tokenizes', async () => {
    const ai = fakeAI(() => fakeCore(() => []), place);
    expect(await ai.tokenize('ab')).toEqual([97, 98, 1]);
    expect(await ai.tokenize('ab', { addedTokens: false })).toEqual([97, 98, 0]);
    expect(await ai.detokenize([97, 98])).toBe('ab');
    expect((await rejection(ai.detokenize([1.5]))).code).toBe('invalid_token_id');
  });

  it('places every shard, streamed or whole, and names the file of a wrong one', async () => {
    for (const streamed of [false, true]) {
      const core = fakeCore(() => []);
      await (await fakeEngine(core, place, fakeSource({ count: 3, streamed }))).loaded();
      expect(core.placed.map((bytes) => [...new Set(bytes)])).toEqual([[1], [2], [3]]);
    }
    const core = fakeCore(() => []);
    const engine = await fakeEngine(core, place, fakeSource({ corrupt: true }));
    const error = await rejection(engine.loaded());
    expect(error.code).toBe('shard_hash_mismatch');
    expect(error.message).toContain(`shard ${'1'.repeat(64)}.safetensors: sha256`);
  });
});

it('rejects everything when the thread dies', async () => {
  const line = linePair(fakeCore(() => endless));
  const engine = await openOverLine(line, { threads: 1, open: {} }, fakeSource());
  const events: string[] = [];
  await engine.start({ body: ['{}'], images: [], imagePaths: [], dump: false }, (event) =>
    events.push(event.type),
  );
  line.failNow(new Error('exit code 134'));
  expect(events.at(-1)).toBe('error');
  expect([engine.death?.code, line.ended]).toEqual(['engine_crashed', true]);
  expect((await rejection(engine.tokenize('a', true))).code).toBe('engine_crashed');
});

describe('install', () => {
  const scope = globalThis as unknown as { Azion?: Record<string, unknown> };
  afterEach(() => {
    delete scope.Azion;
  });
  it('merges into what is there and replaces nothing else', () => {
    const env = { get: (): string => 'kept' };
    const other = (): number => 1;
    const before = { env, AI: { other } };
    scope.Azion = before;
    const ai = install();
    expect(scope.Azion).toBe(before);
    expect(before).toEqual({ env, AI: { other, run: ai.run } });
    expect(typeof run).toBe('function');
  });
  it('makes the object when there is none', async () => {
    await import('../../js/azion.ts');
    expect(typeof (scope.Azion?.['AI'] as { run: unknown }).run).toBe('function');
  });
});
