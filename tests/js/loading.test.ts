// Requests before the weights are all there: they are taken, computed as far as shards have come, and ended by what goes
// wrong with a shard. On a scripted core, and with every real one. Surprise: shards come when the test lets them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAI } from '../../js/ai.ts';
import type { AI, ChatCompletion, EngineEvent, Manifest } from '../../js/index.ts';
import { openEngine } from '../../js/thread/engine.ts';
import { nextShard } from '../../js/weights/order.ts';
import { type ShardInfo, type ShardSource, sourceFrom } from '../../js/weights/source.ts';
import { fakeEngine, type Place, rejection, settled } from './fake_ai.ts';
import { type FakeCore, fakeCore, fakeSource, shardBytes, textScript } from './fake_core.ts';
import { bitmap, builtPackage, randomModel, removal, variantNames } from './real_model.ts';

const messages = [{ role: 'user', content: 'hello' }];

type Body = Uint8Array | ReadableStream<Uint8Array>;

/** A source that answers for a shard when told to; `asked` names those that were asked for. */
function held(source: ShardSource): ShardSource & {
  asked: number[];
  give(index: number, change?: (bytes: Uint8Array) => Body): Promise<void>;
  refuse(index: number, reason: Error): void;
} {
  const asked: number[] = [];
  const promises = new Map<
    number,
    { promise: Promise<Body>; resolve(body: Body): void; reject(error: Error): void }
  >();
  const of = (index: number) => {
    let one = promises.get(index);
    if (!one) {
      let resolve = (_: Body): void => undefined;
      let reject = (_: Error): void => undefined;
      const promise = new Promise<Body>((a, b) => ([resolve, reject] = [a, b]));
      promises.set(index, (one = { promise, resolve, reject }));
    }
    return one;
  };
  const infos = source.manifest().then((bytes) => {
    return (JSON.parse(new TextDecoder().decode(bytes)) as Manifest).shards;
  });
  return {
    asked,
    manifest: () => source.manifest(),
    shard(index) {
      asked.push(index);
      return of(index).promise;
    },
    async give(index, change = (bytes) => bytes) {
      const body = await source.shard(index, (await infos)[index] as ShardInfo);
      of(index).resolve(change(new Uint8Array(await new Response(body as BodyInit).arrayBuffer())));
    },
    refuse: (index, reason) => of(index).reject(reason),
  };
}

/** Waits for what is right sooner or later; a test's own time-out says that it never was. */
const until = async (right: () => boolean): Promise<void> => {
  while (!right()) await settled();
};

describe.each(['inline', 'line'] as Place[])('%s', (place) => {
  function opened(
    count = 3,
    needs = [count - 1],
  ): { core: FakeCore; source: ReturnType<typeof held>; ai: AI } {
    const core = fakeCore(() => textScript(['fine']));
    core.needs = needs;
    const source = held(fakeSource({ count }));
    return { core, source, ai: createAI({}, () => fakeEngine(core, place, source)) };
  }

  it('takes a request while shards are missing, and waits without turning', async () => {
    const { core, source, ai } = opened();
    const answer = ai.run(null, { messages });
    await settled();
    expect(core.opened.length).toBe(0); // not even the tokenizer is there
    await source.give(0);
    await until(() => core.opened.length === 1 && core.steps > 0);
    let steps = 0;
    await until(() => steps === (steps = core.steps)); // it stands still
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await until(() => ticks > 3); // the thread is free
    clearInterval(timer);
    expect(core.steps).toBe(steps);
    await source.give(1);
    await until(() => core.steps > steps); // one more try for one more shard
    await source.give(2);
    expect((await answer).choices[0]?.message.content).toBe('fine');
  });

  it('warms up while nothing is asked, and not when all is there', async () => {
    const { core, source, ai } = opened(4);
    const info = ai.info();
    await source.give(0);
    await until(() => core.warmUps === 4);
    const pending = ai.run(null, { messages });
    await until(() => core.opened.length === 1);
    await source.give(1);
    await until(() => core.committed.size === 2);
    await settled();
    expect(core.warmUps).toBe(4); // a request is open
    await source.give(2);
    await source.give(3);
    await pending;
    await info;
    await settled();
    expect(core.warmUps).toBe(4);
  });

  it('loads all of it for info()', async () => {
    const { source, ai } = opened();
    let known = false;
    const info = ai.info().then(({ model }) => {
      known = true;
      return model;
    });
    await source.give(0);
    await source.give(1);
    expect(await ai.tokenize('a')).toEqual([97, 1]);
    await settled();
    expect(known).toBe(false);
    await source.give(2);
    expect(await info).toBe('fake-model');
  });

  const halfway = (bytes: Uint8Array): Body => {
    let pulls = 0;
    return new ReadableStream({
      pull(controller) {
        if (pulls++ === 0) controller.enqueue(bytes.subarray(0, bytes.length / 2));
        else controller.error(new TypeError('the network is gone'));
      },
    });
  };
  const ways: [string, string, RegExp, (source: ReturnType<typeof held>) => unknown][] = [
    [
      'the network goes halfway',
      'io_error',
      /1{64}.safetensors.*network is gone/,
      (source) => source.give(1, halfway),
    ],
    [
      'a shard cannot be had',
      'io_error',
      /1{64}.safetensors.*status 404/,
      (source) => source.refuse(1, new Error('HTTP status 404')),
    ],
    [
      'a shard is cut off',
      'invalid_shard',
      /1{64}.safetensors has 40 bytes, the manifest says 100/,
      (source) => source.give(1, (bytes) => bytes.subarray(0, 40)),
    ],
    [
      'a shard is too long',
      'invalid_shard',
      /1{64}.safetensors has more than 100 bytes/,
      (source) => source.give(1, () => new Uint8Array(101)),
    ],
    [
      'a shard is damaged',
      'shard_hash_mismatch',
      /shard 1{64}.safetensors: sha256/,
      (source) => source.give(1, () => new Uint8Array(shardBytes).fill(0xbad % 256)),
    ],
  ];
  it.each(ways)('ends those who wait when %s', async (_, code, message, happens) => {
    const cores: FakeCore[] = [];
    let source = held(fakeSource());
    const ai = createAI({}, () => {
      const core = fakeCore(() => textScript(['fine']));
      core.needs = [1];
      cores.push(core);
      return fakeEngine(core, place, source);
    });
    const waiting = [
      ai.run(null, { messages }),
      ai.run(null, { messages, stream: true }),
      ai.info(),
    ].map(rejection);
    await source.give(0);
    await until(() => cores[0]?.opened.length === 2);
    await happens(source);
    for (const error of await Promise.all(waiting)) {
      expect(error).toMatchObject({ status: 500, code });
      expect(error.message).toMatch(message);
    }
    expect(cores[0]?.stopped).toBe(true);
    // The next run tries again.
    source = held(fakeSource());
    await Promise.all([0, 1].map((index) => source.give(index)));
    expect((await ai.run(null, { messages })).choices[0]?.message.content).toBe('fine');
    expect(cores.length).toBe(2);
  });

  describe('the vision tower', () => {
    const waiting = async () => {
      const core = fakeCore(() => textScript(['fine']));
      core.needs = [3];
      const source = held(fakeSource({ count: 4, vision: 1 }));
      const ai = createAI({}, () => fakeEngine(core, place, source));
      const answer = ai.run(null, { messages });
      await source.give(0);
      await until(() => source.asked.includes(2));
      expect(source.asked).toEqual([0, 2]);
      return { core, source, ai, answer };
    };
    it('waits for the first answer to begin', async () => {
      const { core, source, ai, answer } = await waiting();
      await source.give(2);
      await source.give(3);
      expect((await answer).choices[0]?.message.content).toBe('fine');
      await until(() => source.asked.includes(1));
      expect(source.asked).toEqual([0, 2, 3, 1]);
      await source.give(1);
      await until(() => core.committed.size === 4);
      await ai.close();
    });

    it('comes at once where a request brings an image', async () => {
      const { core, source, ai, answer } = await waiting();
      const image_url = { url: bitmap(1, 1) };
      const seeing = [{ role: 'user', content: [{ type: 'image_url', image_url }] }];
      const other = ai.run(null, { messages: seeing });
      await until(() => core.requests.size === 2);
      await source.give(2); // one at a time
      await until(() => source.asked.length === 3);
      expect(source.asked).toEqual([0, 2, 1]);
      await source.give(1);
      await source.give(3);
      await Promise.all([answer, other]);
      await ai.close();
    });

    it('keeps nobody from closing', async () => {
      const { ai, answer } = await waiting();
      const failed = rejection(answer);
      await ai.close();
      expect((await failed).code).toBe('engine_closed');
    });
  });

  it('cancels a request that waits', async () => {
    const { core, source, ai } = opened();
    await source.give(0);
    const control = new AbortController();
    const reason = new Error('enough');
    const runs = [
      ai.run(null, { messages, signal: control.signal }),
      ai.run(null, { messages, stream: true, signal: control.signal }),
    ];
    const ends = runs.map((run) => expect(run).rejects.toBe(reason));
    const other = ai.run(null, { messages });
    await until(() => core.requests.size === 3);
    control.abort(reason);
    await Promise.all(ends);
    await until(() => core.cancels === 2 && core.requests.size === 1);
    await source.give(1);
    await source.give(2);
    expect((await other).choices[0]?.message.content).toBe('fine');
  });

  it('closes while requests wait, and leaves the core alone', async () => {
    const { core, source, ai } = opened();
    await source.give(0);
    const waiting = rejection(ai.run(null, { messages }));
    const loading = rejection(ai.info());
    await settled();
    await ai.close();
    expect((await waiting).code).toBe('engine_closed');
    expect((await loading).code).toBe('engine_closed');
    await source.give(1);
    await source.give(2);
    await settled();
    expect([core.callsAfterClose, core.stopped]).toEqual([0, true]);
    expect(source.asked.length).toBeLessThanOrEqual(2);
  });
});

it('takes no request where only the tokenizer is wanted', async () => {
  const core = fakeCore(() => textScript(['fine']));
  const options = { threads: 1, open: {}, tokenizerOnly: true };
  const engine = await openEngine(options, fakeSource(), undefined, async () => core.loaded);
  await engine.loaded();
  expect([...core.committed]).toEqual([0]);
  const start = engine.start(
    { body: ['{}'], images: [], imagePaths: [], dump: false },
    () => undefined,
  );
  expect(await rejection(start)).toMatchObject({ status: 503, code: 'not_ready' });
});

it('lets weights come while it computes', async () => {
  // An endless answer, and pieces that come one at a time.
  const core = fakeCore(() => [[{ type: 'delta', index: 0, text: 'x', tokens: 1 }], 'forever']);
  const source = fakeSource();
  const slow: ShardSource = {
    manifest: () => source.manifest(),
    async shard(index, one) {
      const bytes = (await source.shard(index, one)) as Uint8Array;
      if (index === 0) return bytes;
      let at = 0;
      return new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setImmediate(resolve));
          if (at === bytes.length) controller.close();
          else controller.enqueue(bytes.subarray(at, ++at));
        },
      });
    },
  };
  const step = core.loaded.calls.step;
  core.loaded.calls.step = (engine) => {
    const until = performance.now() + 20;
    while (performance.now() < until); // a long one
    return step(engine);
  };
  const ai = createAI({}, () => fakeEngine(core, 'inline', slow));
  const control = new AbortController();
  const run = ai.run(null, { messages, stream: true, signal: control.signal });
  await ai.info();
  // With a piece a step it would be a hundred.
  expect(core.steps).toBeGreaterThan(0);
  expect(core.steps).toBeLessThan(shardBytes / 4);
  control.abort();
  await run.catch(() => undefined);
});

describe('the next shard', () => {
  const shard = (...holds: string[]): ShardInfo => ({ sha256: '', bytes: 1, holds });
  const shards = [
    shard('tokenizer', 'vision'),
    shard('vision'),
    shard('vision', 'embed'),
    shard('embed'),
    shard('layer.0', 'layer.1'),
    shard('norm'),
  ];
  const order = (vision: (left: number) => boolean): number[] => {
    const left = new Set(shards.keys());
    const taken: number[] = [];
    for (let next; (next = nextShard(shards, left, vision(left.size))) !== undefined; ) {
      taken.push(next);
      left.delete(next);
    }
    return taken;
  };
  it('is what text needs, then the vision tower', () => {
    expect(order(() => false)).toEqual([0, 2, 3, 4, 5, 1]);
  });
  it('is the vision tower where an image waits', () => {
    expect(order(() => true)).toEqual([0, 1, 2, 3, 4, 5]);
  });
  it('is none where text waits and all that it needs is there', () => {
    expect(nextShard(shards, [1, 3], false, true)).toBe(3);
    expect(nextShard(shards, [1], false, true)).toBeUndefined();
    expect(nextShard(shards, [1], true, true)).toBe(1);
  });
  it('follows what happens meanwhile', () => {
    expect(order((left) => left < 5)).toEqual([0, 2, 1, 3, 4, 5]);
  });
});

describe('on the real core', () => {
  let lib: typeof import('../../js/index.ts');
  let made: Awaited<ReturnType<typeof randomModel>>;
  let shards: ShardInfo[];
  const open: AI[] = [];
  beforeAll(async () => {
    lib = await builtPackage();
    made = await randomModel();
    ({ shards } = JSON.parse(readFileSync(join(made.model, 'manifest.json'), 'utf8')) as Manifest);
    return removal(made.folder);
  });
  afterAll(async () => {
    for (const one of open) await one.close();
  });

  const exact = {
    temperature: 0,
    max_tokens: 16,
    logprobs: true,
    ignore_eos: true,
    return_token_ids: true,
  };
  const long = {
    ...exact,
    messages: [{ role: 'user', content: 'a long story, and a longer one. '.repeat(20) }],
  };
  const seen = {
    ...exact,
    messages: [{ role: 'user', content: [{ type: 'image' as const, image: bitmap(84, 112) }] }],
  };
  const essence = ({ choices, usage }: ChatCompletion): unknown => ({ choices, usage });

  describe.each(variantNames)('%s', (variant) => {
    it.each(['worker', 'inline'] as const)(
      'answers the same as after loading (%s)',
      async (thread) => {
        const whole = lib.createAI({ model: made.model, context: 1024, variant, thread });
        open.push(whole);
        await whole.info();
        const expected = [
          essence(await whole.run(null, long)),
          essence(await whole.run(null, seen)),
        ];
        const last = shards.length - 1;
        expect(shards[last]?.holds).toContain('norm');
        const source = held(sourceFrom(made.model));
        const one = lib.createAI({ model: source, context: 1024, variant, thread });
        open.push(one);
        const events: EngineEvent[] = [];
        const answers = [long, seen].map((body) =>
          one.run(null, body, { onEvent: (event) => void events.push(event) }),
        );
        for (let index = 0; index < last; index++) await source.give(index);
        // The last one comes when the first layers are known to be computed.
        const layers = async (): Promise<number> =>
          ((await one.stats()) as { layers: number }).layers;
        const waits = (): boolean =>
          events.some(
            (event) => event.type === 'progress' && event.stage === 'weights' && event.done > 0,
          );
        const until = performance.now() + 60_000;
        while (!(waits() && (await layers()) > 2) && performance.now() < until) await settled();
        const before = await layers();
        expect(before).toBeGreaterThan(2);
        expect(events.filter(({ type }) => type === 'delta')).toEqual([]);
        await source.give(last);
        expect((await Promise.all(answers)).map(essence)).toEqual(expected);
      },
    );
  });
});
