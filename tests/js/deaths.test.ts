// What an engine can die of, on the real core and in real threads: traps, memory that is refused, threads that end. What is
// pending is rejected with an error that says so, and the next run has a fresh engine. Surprise: workers are started through
// damage.mjs, by an exchanged Worker class; a compute thread's own trap is in tests/wasm/crash.test.ts.
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import type { Worker, WorkerOptions } from 'node:worker_threads';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AI, AIOptions, ChatStream, OcelliError } from '../../js/index.ts';
import { bitmap, builtPackage, node, root, variantNames } from './real_model.ts';

const threads = createRequire(import.meta.url)('node:worker_threads') as {
  Worker: new (script: URL, options: WorkerOptions) => Worker;
};
const { damage } = (await import(join(import.meta.dirname, 'damage.mjs') as string)) as {
  damage(kind: string): void;
};

let kind = 'none';
/** Those that were started, by what they are. */
let started: Record<string, Worker[]> = {};
/** Told of each as it starts. */
let onStart = (_: string, __: Worker): void => undefined;
let lib: typeof import('../../js/index.ts');
let ai: AI | undefined;

beforeAll(async () => {
  const Real = threads.Worker;
  const script = new URL('damage.mjs', import.meta.url);
  threads.Worker = class extends Real {
    constructor(own: URL, options: WorkerOptions) {
      const mine = options.name?.startsWith('ocelli');
      const workerData = { script: String(own), damage: kind };
      super(mine ? script : own, mine ? { ...options, workerData } : options);
      const name = options.name ?? '';
      (started[name] ??= []).push(this as unknown as Worker);
      onStart(name, this as unknown as Worker);
    }
  };
  syncBuiltinESMExports();
  lib = await builtPackage();
  return () => {
    threads.Worker = Real;
    syncBuiltinESMExports();
  };
});
afterEach(async () => {
  setDamage('none');
  onStart = () => undefined;
  started = {};
  await ai?.close();
});

/** For threads that start from now on, and for this one. */
function setDamage(next: string): void {
  kind = next;
  damage(next);
}
function open(options: AIOptions): AI {
  return (ai = lib.createAI({ context: 512, threads: 2, ...options }));
}
const body = (user: string) => ({
  messages: [{ role: 'user', content: user }],
  max_tokens: 300,
  ignore_eos: true,
  temperature: 0,
});
async function failure(work: Promise<unknown>): Promise<OcelliError> {
  const error: unknown = await work.then(
    (value) => ({ answered: value }),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(lib.OcelliError);
  return error as OcelliError;
}
async function works(one: AI): Promise<void> {
  const answer = await one.run(null, { ...body('Hello'), max_tokens: 3 });
  expect(answer.usage.completion_tokens).toBe(3);
}
/** A whole answer, and a stream that has begun. */
async function pending(one: AI): Promise<Promise<OcelliError>[]> {
  const whole = failure(one.run(null, body('whole')));
  const stream = (await one.run(null, { ...body('streamed'), stream: true })) as ChatStream;
  return [whole, failure(stream.json())];
}

const places = variantNames.flatMap((variant) =>
  (['worker', 'inline'] as const).map((thread) => ({ variant, thread })),
);

describe.each(places.map((way) => ({ ...way, name: `${way.variant}, ${way.thread}` })))(
  '$name',
  ({ variant, thread }) => {
    it('a trap', async () => {
      setDamage('trap');
      const one = open({ variant, thread });
      for (const error of await Promise.all(await pending(one))) {
        expect(error).toMatchObject({ status: 500, code: 'engine_crashed' });
        expect(error.message).toMatch(/^the engine stopped: memory access out of bounds$/);
      }
      setDamage('none');
      await works(one);
    });

    it('memory that does not grow for the weights', async () => {
      setDamage('small');
      const one = open({ variant, thread, context: 2048, sequencesMax: 64, compute: 'reference' });
      for (const error of [await failure(one.info()), await failure(one.run(null, body('x')))]) {
        expect(error).toMatchObject({ status: 507, code: 'out_of_memory' });
        expect(error.message).toMatch(/^out of memory: a weight shard needs \d+ bytes more/);
      }
      setDamage('none');
      await works(one);
    });

    it('memory that does not grow for one request, and goes on with the others', async () => {
      setDamage('small');
      const one = open({ variant, thread });
      const other = one.run(null, body('x'));
      const image = bitmap(2500, 2500);
      const messages = [{ role: 'user', content: [{ type: 'image' as const, image }] }];
      const error = await failure(one.run(null, { messages, max_tokens: 3 }));
      expect(error).toMatchObject({ status: 507, code: 'out_of_memory' });
      expect(error.message).toMatch(/^no memory for 18750054 bytes/);
      expect((await other).usage.completion_tokens).toBe(300);
      await works(one);
    });

    it('memory that is not enough, known before', async () => {
      const one = open({ variant, thread, memoryBytesMax: 8 << 20 });
      const error = await failure(one.run(null, body('x')));
      expect(error).toMatchObject({ status: 507, code: 'plan_exceeds_memory' });
      expect(error.message).toMatch(/\d+/);
    });
  },
);

describe.each(variantNames)('the thread of %s', (variant) => {
  const ends: [string, (worker: Worker) => unknown, RegExp][] = [
    ['is ended', (worker) => worker.terminate(), /its thread ended with exit code [01]$/],
    [
      'exits',
      (worker) => worker.postMessage({ end: 'exit' }),
      /its thread ended with exit code 7$/,
    ],
    ['throws', (worker) => worker.postMessage({ end: 'throw' }), /out of the blue$/],
  ];
  const engineThread = (): Worker => started['ocelli']!.at(-1)!;

  it.each(ends)('%s while answers are made', async (_, end, message) => {
    const one = open({ variant });
    const waiting = await pending(one);
    waiting.push(failure(one.tokenize('x'.repeat(100_000))));
    end(engineThread());
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ status: 500, code: 'engine_crashed' });
      expect(error.message).toMatch(message);
    }
    await works(one);
    expect(started['ocelli']!.length).toBe(2);
  });

  it.each(ends)('%s while nothing is asked', async (_, end) => {
    const one = open({ variant });
    await works(one);
    const over = new Promise((resolve) => engineThread().on('exit', resolve));
    end(engineThread());
    await over;
    await works(one);
    expect(started['ocelli']!.length).toBe(2);
  });

  it.each(ends)('%s while it opens', async (_, end, message) => {
    const one = open({ variant });
    onStart = (name, worker) => void (name === 'ocelli' && end(worker));
    const errors = await Promise.all([failure(one.info()), failure(one.run(null, body('x')))]);
    onStart = () => undefined;
    for (const error of errors) {
      expect(error.code).toBe('engine_crashed');
      expect(error.message).toMatch(message);
    }
    await works(one);
  });
});

it.each(variantNames.filter((name) => name.startsWith('mt')))(
  'the thread that reads weights for %s ends',
  async (variant) => {
    const one = open({ variant, thread: 'inline' });
    onStart = (name, worker) => void (name === 'ocelli weights' && worker.terminate());
    const error = await failure(one.info());
    onStart = () => undefined;
    expect(error.code).toBe('engine_crashed');
    expect(error.message).toMatch(/its thread ended with exit code [01]$/);
    await works(one);
  },
);

it('addresses are used up: an error says so, and an engine opens when there are some again', async () => {
  const program = `
    import { createAI } from ${JSON.stringify(join(root, 'build/js/index.js'))};
    const ways = ${JSON.stringify([...places, {}].map((way) => ({ ...way, threads: 2, context: 512 })))};
    let all = [];
    try { for (;;) all.push(new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true })); } catch { }
    try { for (;;) all.push(new WebAssembly.Memory({ initial: 1, maximum: 65536 })); } catch { }
    for (const way of ways) {
      const ai = createAI(way);
      const { status, code, message } = await ai.info().catch((error) => error);
      console.log(JSON.stringify({ status, code, message }));
      await ai.close();
    }
    all = all.length;
    gc();
    const ai = createAI({ context: 512 });
    console.log(JSON.stringify({ model: (await ai.info()).model }));
    await ai.close();`;
  const ended = await node(['--expose-gc', '--input-type=module', '-e', program]);
  expect(ended).toMatchObject({ code: 0, err: '' });
  const said = ended.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(said.pop()).toEqual({ model: expect.any(String) as string });
  expect(said.length).toBe(places.length + 1);
  for (const one of said)
    expect(one).toEqual({
      status: 507,
      code: 'out_of_memory',
      message: expect.stringMatching(/^there is no memory for an engine: .*memory/i) as string,
    });
});
