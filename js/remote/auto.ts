// Owns engine: 'auto': the memory plan beside what this host has, the choice between here and the endpoint, and falling back
// when memory runs out here all the same. Called by choose.ts. Surprise: whatever keeps a plan from being made (no build
// runs here, no manifest comes) also speaks for the endpoint; the decision says what it was.
import { loadCore } from '../abi/load.ts';
import {
  type AI,
  type AIOptions,
  coreOptions,
  type RunBody,
  type RunExtras,
  sourceOf,
} from '../ai.ts';
import { OcelliError } from '../errors.ts';
import { sharedWork } from '../host.ts';
import { closeWith } from '../life.ts';
import { reasonOf } from '../weights/failures.ts';
import { type Budget, budgetOf, hostSigns } from './budget.ts';
import type { Decision } from './options.ts';

/** What the plan of an engine says, as far as a decision needs it. */
export interface Planned {
  totalBytes: number;
  weightsBytes: number;
}

/** How auto asks; apart for tests. */
export interface Asking {
  budget(): Promise<Budget>;
  /** Rejects with why there is none. */
  plan(): Promise<Planned>;
  local(): AI;
  remote(): AI;
}

export function askingFor(options: AIOptions, local: () => AI, remote: () => AI): Asking {
  return {
    budget: () => budgetOf(hostSigns(), options.limits),
    plan: () => planHere(options),
    local,
    remote,
  };
}

/** The core's own plan, before any weights are fetched. */
async function planHere(options: AIOptions): Promise<Planned> {
  const { source, named } = sourceOf(options);
  try {
    const manifest = await source.manifest();
    const { wasm } = options;
    const core = await loadCore({ threads: 1, revectorise: false, ...(wasm && { wasm }) });
    try {
      const plan = core.calls.plan(manifest, coreOptions(options)) as Record<string, number>;
      return { totalBytes: plan['total_bytes'] ?? 0, weightsBytes: plan['weights_bytes'] ?? 0 };
    } finally {
      await core.stop();
    }
  } finally {
    if (named) await source.close?.();
  }
}

/** What the host's own part of a program takes beside the engine: the code, and answers. */
const besidesBytes = 16e6;

/**
 * Milliseconds that one thread computes for a short question and a short answer, 64 tokens each, and for hashing the weights:
 * with int4 weights it reads a prompt at 36e9 bytes of weights a second, writes at 12e9 and hashes at 500e6 (README, Speed).
 */
export function shortAnswerMs(weightsBytes: number): number {
  return 1000 * weightsBytes * (64 / 36e9 + 64 / 12e9 + 1 / 500e6);
}

const mb = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

export function decide(plan: Planned | Error, { platform, memoryBytes, cpuMs }: Budget): Decision {
  const at = (engine: Decision['engine'], reason: string, needed: number | null): Decision => {
    return { engine, reason, platform, neededBytes: needed, availableBytes: memoryBytes };
  };
  if (plan instanceof Error) return at('remote', `it cannot run here: ${reasonOf(plan)}`, null);
  const needed = plan.totalBytes + besidesBytes;
  const has = memoryBytes === null ? 'as much as WebAssembly allows' : mb(memoryBytes);
  const words = `the model needs ${mb(needed)} of memory, this ${platform} has ${has}`;
  if (memoryBytes !== null && needed > memoryBytes) return at('remote', words, needed);
  const ms = Math.round(shortAnswerMs(plan.weightsBytes));
  if (cpuMs !== null && ms > cpuMs) {
    const time = `a short answer takes about ${ms} ms of CPU time, this ${platform} has ${cpuMs}`;
    return at('remote', time, needed);
  }
  return at('local', words, needed);
}

/** Whether an engine could not be had for want of memory: the core's word, or the host's. */
function lacksMemory(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof OcelliError && error.status === 507 && error.param === null) return true;
  return error instanceof RangeError || /out of memory|allocate memory/i.test(reasonOf(error));
}

interface Chosen {
  ai: AI;
  decision: Decision;
}

/** An AI that decides at its first use. */
export function autoAI(options: AIOptions, asking: Asking): AI {
  let choosing: Promise<Chosen> | null = null;
  /** The engine here, once memory has run out. */
  let left: AI | null = null;

  async function first(): Promise<Chosen> {
    const [budget, plan] = await Promise.all([
      asking.budget(),
      asking.plan().catch((error: unknown) => {
        return error instanceof Error ? error : new Error(String(error));
      }),
    ]);
    const decision = decide(plan, budget);
    options.onDecision?.(decision);
    return { decision, ai: decision.engine === 'local' ? asking.local() : asking.remote() };
  }
  const choose = async (): Promise<Chosen> => {
    const mine = (choosing ??= first());
    return await sharedWork(mine).catch((error: unknown) => {
      if (choosing === mine) choosing = null;
      throw error;
    });
  };

  /** `work` with the chosen AI; once more at the endpoint when memory runs out here. */
  async function withAI<T>(work: (ai: AI) => Promise<T>): Promise<T> {
    const { ai, decision } = await choose();
    try {
      return await work(ai);
    } catch (error) {
      if (decision.engine === 'remote' || !lacksMemory(error)) throw error;
      const other = await (choosing = fallBack(choosing, ai, decision, error));
      return await work(other.ai);
    }
  }

  /** From here on the endpoint, unless somebody has gone there already. */
  async function fallBack(
    now: Promise<Chosen> | null,
    ai: AI,
    decision: Decision,
    error: unknown,
  ): Promise<Chosen> {
    const current = await now;
    if (current && current.ai !== ai) return current;
    const reason = `memory ran out here: ${reasonOf(error)}`;
    const next: Decision = { ...decision, engine: 'remote', reason };
    options.onDecision?.(next);
    // What runs there still ends there.
    left = ai;
    return { ai: asking.remote(), decision: next };
  }

  return {
    run: ((model: string | null | undefined, body: RunBody | string, extras?: RunExtras) =>
      withAI((ai) => ai.run(model, body, extras))) as AI['run'],
    async info() {
      const info = await withAI((ai) => ai.info());
      const { decision } = await choose();
      return { ...info, decision };
    },
    tokenize: (text, how) => withAI((ai) => ai.tokenize(text, how)),
    detokenize: (ids, how) => withAI((ai) => ai.detokenize(ids, how)),
    stats: () => withAI((ai) => ai.stats()),
    adapters: {
      load: (...values) => withAI((ai) => ai.adapters.load(...values)),
      unload: (name) => withAI((ai) => ai.adapters.unload(name)),
      list: () => withAI((ai) => ai.adapters.list()),
    },
    ...closeWith(async () => {
      const chosen = choosing;
      choosing = null;
      await Promise.all([left?.close(), chosen?.then(({ ai }) => ai.close())]).catch(
        () => undefined,
      );
      left = null;
    }),
  };
}
