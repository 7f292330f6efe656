// Owns turning a built .wasm into Calls: choosing the variant, compiling, starting it with its imports. Called by
// thread/engine.ts. Surprise: only some variants may be built (the demo builds one), so a missing file means "the next
// one", unless that variant was asked for by name.
import { OcelliError } from '../errors.ts';
import { isNode, nodeModule, packageRoot, readUrl } from '../host.ts';
import { type Calls, createCalls, type Instance } from './calls.ts';
import { createMemory } from './memory.ts';
import {
  type Features,
  probeFeatures,
  unfit,
  type Variant,
  type VariantName,
  variants,
} from './variants.ts';
import { wasiImports } from './wasi.ts';

export interface LoadOptions {
  variant?: VariantName;
  /** A single-thread module that the host has compiled already (edge isolates cannot compile). */
  wasm?: WebAssembly.Module;
  threads: number;
}

export interface LoadedCore {
  calls: Calls;
  /** 'custom' when the host brought the module. */
  variant: VariantName | 'custom';
  /** How many threads the module can use. */
  threads: number;
  /** Ends helper threads, if any. */
  stop(): void;
}

/** Loads the best variant that this host runs, or the one named. */
export async function loadCore(options: LoadOptions): Promise<LoadedCore> {
  if (options.wasm) {
    return {
      calls: createCalls(startPlain(options.wasm)),
      variant: 'custom',
      threads: 1,
      stop: () => undefined,
    };
  }
  if (options.variant) return await loadNamed(options.variant, options.threads);
  const features = probeFeatures();
  const reasons: string[] = [];
  for (const variant of variants) {
    // One thread needs no threaded module; the plain one starts faster and needs no helpers.
    if (variant.threads && options.threads === 1) continue;
    const core = await start(variant, features, options.threads);
    if (typeof core !== 'string') return core;
    reasons.push(`${variant.name}: ${core}`);
  }
  if (options.threads === 1) {
    return await loadCore({ ...options, threads: 2 }).then(
      (core) => ({ ...core, threads: 1 }),
      () => Promise.reject(noVariant(reasons)),
    );
  }
  throw noVariant(reasons);
}

function noVariant(reasons: readonly string[]): OcelliError {
  return new OcelliError(
    500,
    'no_variant',
    `no build of the core runs here. ${reasons.join('; ')}`,
  );
}

async function loadNamed(name: VariantName, threads: number): Promise<LoadedCore> {
  const variant = variants.find((row) => row.name === name);
  if (!variant) {
    const names = variants.map((row) => row.name).join(', ');
    throw new OcelliError(500, 'no_variant', `variant ${name} does not exist; there are ${names}`);
  }
  const core = await start(variant, probeFeatures(), threads);
  if (typeof core !== 'string') return core;
  throw new OcelliError(500, 'no_variant', `variant ${name} cannot run: ${core}`);
}

/** The started core, or why this variant cannot run here. */
async function start(
  variant: Variant,
  features: Features,
  threads: number,
): Promise<LoadedCore | string> {
  const reason = unfit(variant, features);
  if (reason) return reason;
  const module = await compile(new URL(variant.wasm, packageRoot));
  if (!module) return `${variant.wasm} is not built`;
  const core = await instantiate(variant, module, threads);
  if (core.calls.selfTest()) return core;
  core.stop();
  return 'its self test computes wrong values here';
}

async function instantiate(
  variant: Variant,
  module: WebAssembly.Module,
  threads: number,
): Promise<LoadedCore> {
  const { name, glue } = variant;
  if (!glue) {
    const calls = createCalls(startPlain(module));
    return { calls, variant: name, threads: 1, stop: () => undefined };
  }
  const { instance, stop } = await startThreaded(new URL(glue, packageRoot), module, threads);
  return { calls: createCalls(instance), variant: name, threads, stop };
}

/** Null when there is no such file. */
async function compile(url: URL): Promise<WebAssembly.Module | null> {
  if (url.protocol === 'file:' && isNode) {
    const { existsSync } = await nodeModule('node:fs');
    if (!existsSync(url)) return null;
    return await WebAssembly.compile((await readUrl(url)) as Uint8Array<ArrayBuffer>);
  }
  const response = await fetch(url);
  if (!response.ok) {
    await response.body?.cancel();
    return null;
  }
  const streams = response.headers.get('content-type')?.startsWith('application/wasm');
  if (streams && typeof WebAssembly.compileStreaming === 'function') {
    return await WebAssembly.compileStreaming(response);
  }
  return await WebAssembly.compile(await response.arrayBuffer());
}

/** A reactor module: _initialize, then ready. Synchronous, so that an edge isolate can do it at start-up. */
function startPlain(module: WebAssembly.Module): Instance {
  const started: { memory?: WebAssembly.Memory } = {};
  const theMemory = (): WebAssembly.Memory => {
    if (!started.memory) throw new Error('the module called out before it was started');
    return started.memory;
  };
  const instance = new WebAssembly.Instance(module, wasiImports(module, theMemory));
  started.memory = instance.exports['memory'] as WebAssembly.Memory;
  const exports = instance.exports as Instance['exports'] & { _initialize?: () => void };
  exports._initialize?.();
  return { exports, memory: createMemory(() => theMemory().buffer) };
}

interface GlueWorker {
  onerror: ((event: Partial<Event>) => void) | null;
}
interface GlueModule {
  wasmMemory: WebAssembly.Memory;
  PThread?: {
    runningWorkers: GlueWorker[];
    unusedWorkers: GlueWorker[];
    terminateAllThreads(): void;
  };
  [name: `_${string}`]: (...values: number[]) => number;
}
type Glue = (options: object) => Promise<GlueModule>;

/** A threaded module: its generated glue starts the helpers, which share our compiled module. */
async function startThreaded(
  glue: URL,
  module: WebAssembly.Module,
  threads: number,
): Promise<{ instance: Instance; stop: () => void }> {
  const { default: create } = (await import(
    /* @vite-ignore */ /* webpackIgnore: true */ glue.href
  )) as {
    default: Glue;
  };
  const core = await create({
    // The calling thread computes too.
    pthreadPoolSize: Math.max(1, threads - 1),
    instantiateWasm(
      imports: WebAssembly.Imports,
      done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void,
    ): object {
      void WebAssembly.instantiate(module, imports).then((instance) => done(instance, module));
      return {};
    },
  });
  const exports = new Proxy({} as Instance['exports'], {
    get: (_, name) => core[`_${String(name)}`],
  });
  const memory = createMemory(() => core.wasmMemory.buffer);
  return { instance: { exports, memory }, stop: () => endHelpers(core) };
}

/** A helper that crashed still has its error on the way; the glue would throw it where nobody can catch it. */
function endHelpers({ PThread: helpers }: GlueModule): void {
  for (const worker of [...(helpers?.runningWorkers ?? []), ...(helpers?.unusedWorkers ?? [])])
    worker.onerror = (event) => event.preventDefault?.();
  helpers?.terminateAllThreads();
}
