// What 'auto' decides: from plans and budgets, on hosts of every kind, and when memory runs out after all; then with a real
// model, its plan and an endpoint.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, AIOptions } from '../../js/ai.ts';
import { badRequest, OcelliError } from '../../js/errors.ts';
import { type Asking, autoAI, decide, shortAnswerMs } from '../../js/remote/auto.ts';
import { type Budget, budgetOf, type HostSigns } from '../../js/remote/budget.ts';
import { environmentOptions } from '../../js/remote/environment.ts';
import type { Decision } from '../../js/remote/options.ts';
import { rejection } from '../js/fake_ai.ts';
import { builtPackage, variantNames } from '../js/real_model.ts';
import { json, startStub, type Stub, whole } from './stub.ts';

const bare: HostSigns = {
  isNode: false,
  isWorkerd: false,
  edgeRuntime: undefined,
  hasPage: false,
  hasWorkers: false,
  deviceMemory: undefined,
  freeBytes: async () => 5e9,
};

describe('what a host has', () => {
  it.each<[string, Partial<HostSigns>, Budget]>([
    ['workerd', { isWorkerd: true }, { platform: 'workerd', memoryBytes: 128e6, cpuMs: 30_000 }],
    ['an edge isolate', {}, { platform: 'edge isolate', memoryBytes: 512e6, cpuMs: 2000 }],
    [
      'its local emulation',
      { edgeRuntime: 'edge-runtime', hasWorkers: true },
      { platform: 'edge isolate', memoryBytes: 512e6, cpuMs: 2000 },
    ],
    [
      'Vercel',
      { edgeRuntime: 'vercel' },
      { platform: 'Vercel edge function', memoryBytes: 128e6, cpuMs: null },
    ],
    ['Node', { isNode: true }, { platform: 'server', memoryBytes: 5e9, cpuMs: null }],
    [
      'a server that does not say',
      { isNode: true, freeBytes: async () => null },
      { platform: 'server', memoryBytes: null, cpuMs: null },
    ],
    [
      'Chromium',
      { hasPage: true, deviceMemory: 8 },
      { platform: 'browser', memoryBytes: 4 * 2 ** 30, cpuMs: null },
    ],
    [
      'Firefox, in a worker',
      { hasWorkers: true },
      { platform: 'browser', memoryBytes: null, cpuMs: null },
    ],
  ])('%s', async (_, signs, budget) => {
    expect(await budgetOf({ ...bare, ...signs })).toEqual(budget);
    const told = await budgetOf({ ...bare, ...signs }, { memoryBytes: 1e9, cpuMs: 50 });
    expect(told).toEqual({ ...budget, memoryBytes: 1e9, cpuMs: 50 });
  });
});

describe('the decision', () => {
  const plan = (totalBytes: number, weightsBytes = totalBytes / 2) => ({
    totalBytes,
    weightsBytes,
  });
  const host = (memoryBytes: number | null, cpuMs: number | null = null): Budget => ({
    platform: 'edge isolate',
    memoryBytes,
    cpuMs,
  });

  it.each<[string, Parameters<typeof decide>, Decision['engine'], RegExp]>([
    [
      'memory that is enough',
      [plan(100e6), host(116e6)],
      'local',
      /needs 116 MB of memory, this edge isolate has 116 MB$/,
    ],
    [
      'memory that is not',
      [plan(100e6), host(115e6)],
      'remote',
      /needs 116 MB of memory, this edge isolate has 115 MB$/,
    ],
    [
      'memory that nobody knows',
      [plan(3e9), host(null)],
      'local',
      /has as much as WebAssembly allows/,
    ],
    [
      'CPU time that is not enough',
      [plan(500e6, 400e6), host(1e9, 2000)],
      'remote',
      /a short answer takes about 3644 ms of CPU time, this edge isolate has 2000/,
    ],
    ['CPU time that is', [plan(100e6, 10e6), host(1e9, 2000)], 'local', /needs 116 MB/],
    [
      'no plan',
      [badRequest('x', 'no manifest'), host(1e9)],
      'remote',
      /it cannot run here: no manifest/,
    ],
  ])('%s', (_, values, engine, reason) => {
    const decision = decide(...values);
    expect(decision.engine).toBe(engine);
    expect(decision.reason).toMatch(reason);
    expect(decision.availableBytes).toBe(values[1].memoryBytes);
  });

  it("keeps the 3B model out of every hosted isolate's default, by its time alone", () => {
    expect(shortAnswerMs(2.1e9)).toBeGreaterThan(10_000);
  });
});

describe('an AI that decides', () => {
  /** One that says who it is; `fail` may throw. */
  const named = (name: string, log: string[], fail: () => void = () => undefined): AI => {
    const call = (what: string) => async (): Promise<unknown> => {
      log.push(`${name} ${what}`);
      fail();
      return name;
    };
    return {
      run: call('run'),
      info: async () => ({ engine: name }),
      tokenize: call('tokenize'),
      detokenize: call('detokenize'),
      stats: call('stats'),
      close: call('close'),
    } as unknown as AI;
  };
  const asking = (log: string[], more: Partial<Asking> = {}): Asking => ({
    budget: async () => ({ platform: 'server', memoryBytes: 1e9, cpuMs: null }),
    plan: async () => ({ totalBytes: 1e8, weightsBytes: 1e7 }),
    local: () => named('local', log),
    remote: () => named('remote', log),
    ...more,
  });
  const hi = { messages: [{ role: 'user', content: 'Hi' }] };

  it('decides once, at the first use, and tells', async () => {
    const log: string[] = [];
    const told: Decision[] = [];
    let plans = 0;
    const plan = async () => ({ totalBytes: 1e8, weightsBytes: 1e7 + plans++ });
    const ai = autoAI({ onDecision: (one) => told.push(one) }, asking(log, { plan }));
    expect(told).toEqual([]);
    await Promise.all([ai.run(null, hi), ai.run(null, hi), ai.stats()]);
    expect([plans, told.length, log]).toEqual([1, 1, ['local run', 'local run', 'local stats']]);
    expect(await ai.info()).toEqual({ engine: 'local', decision: told[0] });
    await ai.close();
    await ai.run(null, hi);
    expect([plans, log.slice(3)]).toEqual([2, ['local close', 'local run']]);
  });

  it.each([
    ['the plan', new OcelliError(507, 'plan_exceeds_memory', 'the model needs 9 bytes')],
    ['the core', new OcelliError(507, 'out_of_memory', 'no memory for 5 bytes')],
    ['the host', new RangeError('Array buffer allocation failed')],
    [
      'the engine',
      new OcelliError(
        500,
        'internal_error',
        'the engine cannot be opened: WebAssembly.Memory(): could not allocate memory',
      ),
    ],
  ])('goes to the endpoint when memory runs out: %s', async (_, error) => {
    const log: string[] = [];
    const told: Decision[] = [];
    const local = (): AI =>
      named('local', log, () => {
        throw error;
      });
    const ai = autoAI({ onDecision: (one) => told.push(one) }, asking(log, { local }));
    expect(await Promise.all([ai.run(null, hi), ai.run(null, hi)])).toEqual(['remote', 'remote']);
    expect(await ai.tokenize('x')).toBe('remote');
    expect(log.sort()).toEqual(
      ['local run', 'local run', 'remote run', 'remote run', 'remote tokenize'].sort(),
    );
    expect(told.map(({ engine }) => engine)).toEqual(['local', 'remote']);
    expect(told[1]?.reason).toBe(`memory ran out here: ${error.message}`);
    expect(await ai.info()).toMatchObject({ engine: 'remote', decision: told[1] });
  });

  it('passes other errors on', async () => {
    const log: string[] = [];
    const local = (): AI =>
      named('local', log, () => {
        throw badRequest('invalid_value', 'top_p must be at most 1');
      });
    const ai = autoAI({}, asking(log, { local }));
    expect((await rejection(ai.run(null, hi))).code).toBe('invalid_value');
    expect(log).toEqual(['local run']);
  });

  it('asks anew when it could not decide', async () => {
    const log: string[] = [];
    let tries = 0;
    const onDecision = (): void => {
      if (tries++ === 0) throw new Error('not now');
    };
    const ai = autoAI({ onDecision }, asking(log));
    await expect(ai.run(null, hi)).rejects.toThrow('not now');
    expect(await ai.run(null, hi)).toBe('local');
  });
});

describe('with the embedded model', () => {
  let stub: Stub;
  beforeAll(async () => void (stub = await startStub()));
  afterAll(() => stub.close());
  const messages = [{ role: 'user', content: 'What is the capital of France?' }];
  const autoWith = async (options: AIOptions): Promise<AI> => {
    const lib = await builtPackage();
    const variant = variantNames.at(-1);
    return lib.createAI({ remote: { url: stub.url }, ...(variant && { variant }), ...options });
  };

  it('runs it here where there is room', async () => {
    stub.script(json({}, 500));
    const told: Decision[] = [];
    const limits = { memoryBytes: 512e6, cpuMs: 2000 };
    const ai = await autoWith({ limits, onDecision: (one) => told.push(one) });
    const answer = await ai.run(null, { messages, temperature: 0 });
    expect(answer.choices[0]?.message.content).toMatch(/Paris/);
    expect(await ai.info()).toMatchObject({ engine: 'local', decision: told[0], context: 2048 });
    expect(told[0]?.neededBytes).toBeGreaterThan(100e6);
    expect(stub.seen).toEqual([]);
    await ai.close();
  });

  it.each<[string, AIOptions, RegExp]>([
    [
      "Cloudflare's memory",
      { limits: { memoryBytes: 100e6 } },
      /the model needs \d+ MB of memory, this server has 100 MB/,
    ],
    ['less CPU time than it takes', { limits: { cpuMs: 20 } }, /of CPU time/],
    [
      "the core's own limit",
      { memoryBytesMax: 50e6 },
      /it cannot run here: the model needs \d+ bytes/,
    ],
    [
      'a model that cannot be had',
      { model: '/nowhere' },
      /it cannot run here: .*manifest\.json cannot be read/,
    ],
  ])('leaves it to the endpoint: %s', async (_, options, reason) => {
    stub.script(json(whole('from there', 2)));
    const told: Decision[] = [];
    const ai = await autoWith({ ...options, onDecision: (one) => told.push(one) });
    const answer = await ai.run('qwen2p5-vl-3b-instruct', { messages });
    expect(answer).toEqual({ ...whole('from there', 2), model: 'qwen2p5-vl-3b-instruct' });
    expect(told.map(({ engine }) => engine)).toEqual(['remote']);
    expect(told[0]?.reason).toMatch(reason);
  });

  it('stays here when no endpoint is given', async () => {
    const lib = await builtPackage();
    const variant = variantNames.at(-1);
    const ai = lib.createAI({
      engine: 'auto',
      limits: { memoryBytes: 1 },
      ...(variant && { variant }),
    });
    expect((await ai.tokenize('Paris')).length).toBeGreaterThan(0);
    await ai.close();
  });
});

describe('environmentOptions', () => {
  const all = {
    OCELLI_ENGINE: 'remote',
    OCELLI_MODEL: 'https://host/model/',
    OCELLI_REMOTE_URL: 'https://host/v1',
    OCELLI_REMOTE_API_KEY: 'K',
    OCELLI_REMOTE_MODEL: 'm',
  };
  const options = {
    engine: 'remote',
    model: 'https://host/model/',
    remote: { url: 'https://host/v1', apiKey: 'K', model: 'm' },
  };

  it('reads what a platform hands out, as an object or a function', () => {
    expect(environmentOptions(all)).toEqual(options);
    expect(environmentOptions((name) => all[name as keyof typeof all])).toEqual(options);
    expect(environmentOptions({ OCELLI_REMOTE_URL: '', OCELLI_MODEL: {} })).toEqual({});
  });

  it("reads the hosted platform's own, and this process's", () => {
    const scope = globalThis as { Azion?: unknown };
    scope.Azion = { env: { get: (name: string) => all[name as keyof typeof all] } };
    expect(environmentOptions()).toEqual(options);
    delete scope.Azion;
    expect(environmentOptions()).toEqual({});
    process.env['OCELLI_REMOTE_URL'] = 'https://host';
    expect(environmentOptions()).toEqual({ remote: { url: 'https://host' } });
    delete process.env['OCELLI_REMOTE_URL'];
  });
});
