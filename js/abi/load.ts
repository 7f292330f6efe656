// Owns turning a built .wasm into Calls: choosing the variant, compiling, starting it with its imports. Called by
// thread/engine.ts. Surprise: only some variants may be built (the demo builds one), so a missing file means "the next
// one", unless that variant was asked for by name.
import { OcelliError } from '../errors.ts';
import { clockMs, isNode, nodeModule, packageRoot, readUrl } from '../host.ts';
import { type Calls, createCalls, type Instance } from './calls.ts';
import { createMemory } from './memory.ts';
import { canRevectorise, setRevectorisation, unseen } from './revectorise.ts';
import {
  type Features,
  probeFeatures,
  unfit,
  type Variant,
  type VariantName,
  variants,
} from './variants.ts';
import { wasiImports } from './wasi.ts';

/** How long the self test is repeated, so that it meets optimised code too. */
const optimisingMs = 100;

export interface LoadOptions {
  variant?: VariantName;
  /** A single-thread module that the host has compiled already (edge isolates cannot compile). */
  wasm?: WebAssembly.Module;
  threads: number;
  /** Whether V8 may use 256-bit operations where it can (revectorise.ts); true by default. */
  revectorise?: boolean;
}

export interface LoadedCore {
  calls: Calls;
  /** 'custom' when the host brought the module. */
  variant: VariantName | 'custom';
  /** How many threads the module can use. */
  threads: number;
  /** Whether the module was compiled with V8's revectorisation. */
  revectorised: boolean;
  /** Its memory where other threads can write to it, else null. */
  memory: WebAssembly.Memory | null;
  /** Ends helper threads, if any; resolves when they have ended, where the host tells. */
  stop(): Promise<void>;
}

/** Loads the best variant that this host runs, or the one named. */
export async function loadCore(options: LoadOptions): Promise<LoadedCore> {
  if (options.wasm) {
    const calls = createCalls(roomFor(options.wasm));
    if (!calls.selfTest()) {
      const message = 'the given module computes wrong values here; st-simd128 runs everywhere';
      throw new OcelliError(500, 'no_variant', message);
    }
    return {
      calls,
      variant: 'custom',
      threads: 1,
      revectorised: false,
      memory: null,
      stop: async () => undefined,
    };
  }
  if (options.variant) return await loadNamed(options.variant, options);
  const features = probeFeatures();
  const reasons: string[] = [];
  let full: NoRoom | undefined;
  for (const variant of variants) {
    // One thread needs no threaded module; the plain one starts faster and needs no helpers.
    if (variant.threads && options.threads === 1) continue;
    const core = await start(variant, features, options);
    // A threaded build reserves all the addresses that it may ever use; another one may still find room.
    if (core instanceof NoRoom) full ??= core;
    else if (typeof core !== 'string') return core;
    else reasons.push(`${variant.name}: ${core}`);
  }
  if (full) throw full.error;
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

async function loadNamed(name: VariantName, options: LoadOptions): Promise<LoadedCore> {
  const variant = variants.find((row) => row.name === name);
  if (!variant) {
    const names = variants.map((row) => row.name).join(', ');
    throw new OcelliError(500, 'no_variant', `variant ${name} does not exist; there are ${names}`);
  }
  const core = await start(variant, probeFeatures(), options);
  if (core instanceof NoRoom) throw core.error;
  if (typeof core !== 'string') return core;
  throw new OcelliError(500, 'no_variant', `variant ${name} cannot run: ${core}`);
}

/** The host gives no memory to an instance, now. */
class NoRoom {
  readonly error: OcelliError;
  constructor(cause: Error) {
    const message = `there is no memory for an engine: ${cause.message}`;
    this.error = new OcelliError(507, 'out_of_memory', message, null, cause);
  }
}

/** What `error` says when it is that; throws it otherwise. WebAssembly has a RangeError for it. */
function noRoom(error: unknown): NoRoom {
  if ((error as Error | null)?.name === 'RangeError') return new NoRoom(error as Error);
  throw error;
}

function roomFor(module: WebAssembly.Module): Instance {
  try {
    return startPlain(module);
  } catch (error) {
    throw noRoom(error).error;
  }
}

/** The started core, or why this variant cannot run here. */
async function start(
  variant: Variant,
  features: Features,
  options: LoadOptions,
): Promise<LoadedCore | NoRoom | string> {
  const reason = unfit(variant, features);
  if (reason) return reason;
  return await startFit(variant, options).catch(noRoom);
}

async function startFit(
  variant: Variant,
  { threads, revectorise = true }: LoadOptions,
): Promise<LoadedCore | string> {
  const url = new URL(variant.wasm, packageRoot);
  const wide = revectorise && canRevectorise();
  if (wide) await setRevectorisation(true);
  const module = await compile(url);
  if (!module) return `${variant.wasm} is not built`;
  const core = await verified(variant, module, threads, wide);
  if (core) return core;
  if (wide) {
    await setRevectorisation(false);
    const again = await compile(url, unseen);
    const plain = again && (await verified(variant, again, threads, false));
    if (plain) return plain;
  }
  return 'its self test computes wrong values here';
}

/** The started core when it passes its self test, else null. */
async function verified(
  variant: Variant,
  module: WebAssembly.Module,
  threads: number,
  revectorised: boolean,
): Promise<LoadedCore | null> {
  const core = { ...(await instantiate(variant, module, threads)), revectorised };
  // V8 optimises, and revectorises, while the first rounds run: the last ones test that code.
  const until = clockMs() + (revectorised ? optimisingMs : 0);
  let passed = true;
  do passed = core.calls.selfTest();
  while (passed && clockMs() < until);
  if (passed) return core;
  await core.stop();
  return null;
}

async function instantiate(
  variant: Variant,
  module: WebAssembly.Module,
  threads: number,
): Promise<Omit<LoadedCore, 'revectorised'>> {
  const { name, glue } = variant;
  if (!glue) {
    const calls = createCalls(startPlain(module));
    return { calls, variant: name, threads: 1, memory: null, stop: async () => undefined };
  }
  const started = await startThreaded(new URL(glue, packageRoot), module, threads);
  const { instance, memory, stop } = started;
  return { calls: createCalls(instance), variant: name, threads, memory, stop };
}

/** Null when there is no such file. `change`: what to make of the bytes before. */
async function compile(
  url: URL,
  change?: (bytes: Uint8Array) => Uint8Array<ArrayBuffer>,
): Promise<WebAssembly.Module | null> {
  if (url.protocol === 'file:' && isNode) {
    const { existsSync } = await nodeModule('node:fs');
    if (!existsSync(url)) return null;
    const bytes = await readUrl(url);
    return await WebAssembly.compile(change ? change(bytes) : (bytes as Uint8Array<ArrayBuffer>));
  }
  const response = await fetch(url);
  if (!response.ok) {
    await response.body?.cancel();
    return null;
  }
  if (change)
    return await WebAssembly.compile(change(new Uint8Array(await response.arrayBuffer())));
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
  /** Node's gives a promise. */
  terminate(): unknown;
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
): Promise<{ instance: Instance; memory: WebAssembly.Memory; stop: () => Promise<void> }> {
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
      const quiet = withoutMailbox(imports);
      void WebAssembly.instantiate(module, quiet).then((instance) => done(instance, module));
      return {};
    },
  });
  const exports = new Proxy({} as Instance['exports'], {
    get: (_, name) => core[`_${String(name)}`],
  });
  const memory = createMemory(() => core.wasmMemory.buffer);
  return {
    instance: { exports, memory },
    memory: core.wasmMemory,
    stop: () => endHelpers(core),
  };
}

/**
 * The imports, less the runtime's way of hearing of its helpers by Atomics.waitAsync: V8 keeps what waits so, and with it all
 * of the module's memory, for as long as the calling thread lives. They post messages instead.
 */
function withoutMailbox(imports: WebAssembly.Imports): WebAssembly.Imports {
  const env = { ...imports['env'], _emscripten_thread_mailbox_await: () => undefined };
  return { ...imports, env };
}

/** A helper that crashed still has its error on the way; the glue would throw it where nobody can catch it. */
async function endHelpers({ PThread: helpers }: GlueModule): Promise<void> {
  const workers = [...(helpers?.runningWorkers ?? []), ...(helpers?.unusedWorkers ?? [])];
  for (const worker of workers) worker.onerror = (event) => event.preventDefault?.();
  helpers?.terminateAllThreads();
  await Promise.all(workers.map((worker) => worker.terminate()));
}
