// Owns the whole flow of AI.run: engine, request, answer. Called by index.ts and the command. Surprise: the engine opens
// at the first use and again after a crash, so createAI() itself neither waits nor fails; and it takes requests before its
// weights are all there, so a run may fail for a damaged shard when its prompt has been read already.
import { type Adapters, adapterShelf } from './adapters.ts';
import type { Compute, KvFormat, OpenOptions } from './abi/calls.ts';
import type { VariantName } from './abi/variants.ts';
import { fromCore, OcelliError } from './errors.ts';
import { packageRoot, processorCount, sharedWork } from './host.ts';
import { type Closable, closeWith, engineLife } from './life.ts';
import { mediaDefaults, type MediaOptions } from './media.ts';
import { modelAliases, resolveModel } from './models.ts';
import { checkOptions, inOurWords } from './options.ts';
import { parseBody, prepareRequest } from './request.ts';
import type { Decision, EngineChoice } from './remote/options.ts';
import { CompletionBuilder, headOf } from './response.ts';
import { EventQueue, streamResponse } from './stream.ts';
import { openThreadEngine } from './thread/client.ts';
import { openEngine } from './thread/engine.ts';
import type {
  CompiledModule,
  Engine,
  EngineEvent,
  EngineInfo,
  EngineOptions,
} from './thread/protocol.ts';
import { workersExist } from './thread/worker.ts';
import { biasTokens } from './token_lists.ts';
import type { ChatBody, ChatCompletion, ChatStream } from './types.ts';
import { readAdapterFiles } from './weights/adapter_files.ts';
import type { CacheChoice } from './weights/cache/choose.ts';
import { askToPersist } from './weights/cache/persist.ts';
import type { DownloadOptions, SourceOptions } from './weights/download_options.ts';
import type { ProgressCallback } from './weights/progress.ts';
import { type ShardSource, sourceFrom } from './weights/source.ts';

export interface AIOptions extends EngineChoice {
  /** A container's folder (Node), its URL, or the caller's own source of bytes; the embedded demo model by default. */
  model?: string | URL | ShardSource;
  /** Ids that requests may name besides the manifest's and the table's in models.ts; 'any' accepts every id. */
  models?: readonly string[] | 'any';
  /** A build of the core by name; the best one that runs here by default. */
  variant?: VariantName;
  /** A compiled single-thread module, where the host does not let us compile one. Implies thread: 'inline'. */
  wasm?: CompiledModule;
  /** Where the engine runs: in a worker (default where there are any) or in the calling thread. */
  thread?: 'worker' | 'inline';
  /** Compute threads, 1 to 64; the number of processors (at most 8) by default. */
  threads?: number;
  /**
   * Node on x64: lets V8 make 256-bit operations of pairs of 128-bit ones, for all modules that this process compiles from
   * then on. On by default; the core is tested with it first, and compiled without it when it computes anything else.
   */
  revectorise?: boolean;
  /** 'fast' (default): int8 activations. 'reference': f32 ones. */
  compute?: Compute;
  /** The KV cache of fast compute: 'f16' (default) or 'int8': half the memory, faster in long contexts, less exact. */
  kv?: KvFormat;
  /**
   * Whether a step also computes tokens that may come next because the text has gone on that way before; on by default. It
   * changes how fast an answer comes, not the answer.
   */
  guess?: boolean;
  /** Tokens of prompt and answer together, at most the model's own limit. */
  context?: number;
  /** Requests computed at the same time. */
  sequencesMax?: number;
  imageTokensMax?: number;
  memoryBytesMax?: number;
  /**
   * Whether a prompt takes over what earlier ones have computed as far as they begin alike, pictures included (default). Answers
   * are the same, only sooner; requests with different `cache_salt` share nothing.
   */
  prefixCache?: boolean;
  /** Whether `usage.prompt_tokens_details` tells how many tokens that were; it is null by default. */
  promptTokensDetails?: boolean;
  /** Bytes of weights so far, of all, and more: rate, time left, which layers are ready. */
  onProgress?: ProgressCallback;
  /** How a model behind a URL is fetched: mirrors, headers, a pinned manifest, retries. */
  download?: DownloadOptions;
  /** Where its shards are kept, so that they are fetched once; 'auto' by default: what the host has. */
  cache?: CacheChoice;
  /**
   * The folder with the package's `build` and `models`, for programs bundled into one file: there the module, the workers and
   * the embedded model are found. For all AIs of this program.
   */
  files?: string | URL;
  /** Used for weights and images; globalThis.fetch by default. */
  fetch?: typeof fetch;
  /** Used for images in its place: a server checks where they come from. */
  imageFetch?: typeof fetch;
  /** Whether requests may name `file:` images (Node only); true by default. */
  fileImages?: boolean;
  imageBytesMax?: number;
  imageTimeoutMs?: number;
  /** Only tokenize() and detokenize() are wanted: loads a small part of the weights. */
  tokenizerOnly?: boolean;
  /**
   * Milliseconds without a request after which the engine is unloaded: weights, threads and memory are given back, and the
   * next run opens it again from where the weights are kept. By default it stays. Keeps no process alive. Not in workerd,
   * where a timer ends with its request.
   */
  idleUnloadMs?: number;
}

export interface RunExtras {
  signal?: AbortSignal | undefined;
  /** Every event of the core, as it comes; an endpoint elsewhere shows none. */
  onEvent?: ((event: EngineEvent) => void) | undefined;
  /** Whether onEvent gets an event "dump" with the prompt and the vision rows. */
  dump?: boolean | undefined;
  /** What follows "chatcmpl-" in the answer's id (to an endpoint: its X-Request-Id); the body's request_id, else random. */
  requestId?: string | undefined;
}

/** What an engine here says of itself. */
export type LocalInfo = EngineInfo & { engine: 'local'; decision?: Decision };

/** What is known of an endpoint: the same fields, null where it does not tell. */
export type RemoteInfo = { [Key in keyof EngineInfo]: EngineInfo[Key] | null } & {
  engine: 'remote';
  /** Where chat completions are asked for, without its query. */
  url: string;
  decision?: Decision;
};
export type AIInfo = LocalInfo | RemoteInfo;

export type RunBody = ChatBody & { signal?: AbortSignal };

export interface AI extends Closable {
  /**
   * One chat completion. `body` may be JSON text: then numbers keep their spelling (1.0 stays 1.0 in prompts with tools)
   * and the type of the result depends on its "stream". Rejects with an OcelliError, or the signal's reason.
   */
  run(
    model: string | null | undefined,
    body: RunBody & { stream: true },
    extras?: RunExtras,
  ): Promise<ChatStream>;
  run(
    model: string | null | undefined,
    body: RunBody & { stream?: false | null },
    extras?: RunExtras,
  ): Promise<ChatCompletion>;
  run(
    model: string | null | undefined,
    body: RunBody | string,
    extras?: RunExtras,
  ): Promise<ChatCompletion | ChatStream>;
  /** Loads the model now instead of at the first run, all of it, and says what was loaded. Runs need not wait for it. */
  info(): Promise<AIInfo>;
  /** Token ids; added tokens such as <|im_start|> in the text count as one unless told otherwise. */
  tokenize(text: string, options?: { addedTokens?: boolean }): Promise<number[]>;
  detokenize(ids: readonly number[], options?: { skipSpecial?: boolean }): Promise<string>;
  stats(): Promise<unknown>;
  /** LoRA adapters beside the base; a request uses one by naming it as its model. */
  readonly adapters: Adapters;
  /**
   * Ends the engine; pending runs are rejected. Resolves when its memory, threads and files are given back. A later run
   * opens a new one.
   */
  close(): Promise<void>;
}

/** The model that ships with the package. */
export const demoModel: URL = new URL('models/demo/container/', packageRoot);

/** An AI with these options; throws a BadRequestError for those that cannot be. `opener` makes its engines; it is for tests. */
export function createAI(
  options: AIOptions = {},
  opener: (options: AIOptions, signal: AbortSignal) => Promise<Engine> = openFor,
): AI {
  checkOptions(options);
  const { models = [], idleUnloadMs } = options;
  const life = engineLife((signal) => opener(options, signal), idleUnloadMs);
  const adapters = adapterShelf(
    (place, signal) =>
      readAdapterFiles(place, options.fetch ?? globalThis.fetch, downloadOptions(options), signal),
    (name) => modelAliases.includes(name) || (Array.isArray(models) && models.includes(name)),
    life.use,
  );

  async function run(
    model: string | null | undefined,
    body: RunBody | string,
    extras: RunExtras = {},
  ) {
    const signal = extras.signal ?? (typeof body === 'object' ? body?.signal : undefined);
    signal?.throwIfAborted();
    const parsed = parseBody(body);
    const { engine, letGo } = await life.hold(signal);
    const queue = new EventQueue();
    let stop = (): void => undefined;
    const abort = (): void => {
      stop();
      queue.fail(signal?.reason);
    };
    const onEvent = told(extras.onEvent);
    const sink = (event: EngineEvent): void => {
      const last = event.type === 'done' || event.type === 'error';
      if (last) letGo();
      onEvent?.(event);
      queue.push(event);
      if (last) signal?.removeEventListener('abort', abort);
    };
    const start = async () => {
      const adapter = typeof model === 'string' && adapters.has(model);
      const name = adapter ? model : resolveModel(model, engine.info.model, models);
      // Ours to say: a body's own field of that name means nothing.
      delete parsed.fields['adapter'];
      if (adapter) {
        await adapters.ensure(engine, model);
        parsed.fields['adapter'] = model;
      }
      await biasTokens(parsed.fields, (text) => engine.tokenize(text, false));
      // What is to be seen has to be computed.
      if (extras.dump) parsed.fields['cache_salt'] = `dump ${Math.random()}`;
      const prepared = await prepareRequest(parsed, mediaOptions(options, signal));
      const request = { ...prepared, promptTokensDetails: options.promptTokensDetails ?? false };
      stop = await engine.start({ ...request.core, dump: extras.dump ?? false }, sink);
      return { request, head: headOf(name, extras.requestId ?? request.requestId) };
    };
    const { request, head } = await start().catch((error: unknown) => {
      letGo();
      throw error;
    });
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) abort();
    if (request.stream) {
      // What fails before the first chunk is a rejection, not a stream.
      const first = await queue.peek();
      if (first.type === 'error') throw fromCore(first);
      return streamResponse(head, request, queue, stop);
    }
    const builder = new CompletionBuilder(head, request);
    for (;;) {
      const whole = builder.add(await queue.next());
      if (whole) return whole;
    }
  }

  return {
    run: run as AI['run'],
    info: () =>
      life.use(async (engine) => {
        await sharedWork(engine.loaded());
        return { ...engine.info, engine: 'local' };
      }),
    tokenize: (text, { addedTokens = true } = {}) =>
      life.use((engine) => engine.tokenize(text, addedTokens)),
    detokenize: (ids, { skipSpecial = false } = {}) =>
      life.use((engine) => engine.detokenize(ids, skipSpecial)),
    stats: () => life.use((engine) => engine.stats()),
    adapters: { load: adapters.load, unload: adapters.unload, list: adapters.list },
    ...closeWith(life.close),
  };
}

/** A function of the caller's that is only told: what it throws is an uncaught error of its own, and ends nothing here. */
function told<Values extends unknown[]>(
  call: ((...values: Values) => void) | undefined,
): ((...values: Values) => void) | undefined {
  return (
    call &&
    ((...values) => {
      try {
        call(...values);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    })
  );
}

export function mediaOptions(options: AIOptions, signal: AbortSignal | undefined): MediaOptions {
  return {
    fetch: options.imageFetch ?? options.fetch ?? globalThis.fetch,
    fileImages: options.fileImages ?? true,
    imageBytesMax: options.imageBytesMax ?? mediaDefaults.imageBytesMax,
    imageTimeoutMs: options.imageTimeoutMs ?? mediaDefaults.imageTimeoutMs,
    signal,
  };
}

/** What of the options the core plans and opens with. */
export function coreOptions(options: AIOptions): Omit<OpenOptions, 'threads'> {
  return {
    ...(options.compute && { compute: options.compute }),
    ...(options.kv && { kv: options.kv }),
    ...(options.guess !== undefined && { guess: options.guess }),
    ...(options.context !== undefined && { context: options.context }),
    ...(options.sequencesMax !== undefined && { sequences_max: options.sequencesMax }),
    ...(options.imageTokensMax !== undefined && { image_tokens_max: options.imageTokensMax }),
    ...(options.memoryBytesMax !== undefined && { memory_bytes_max: options.memoryBytesMax }),
    ...(options.prefixCache !== undefined && { prefix_cache: options.prefixCache }),
  };
}

/** Where the model's bytes come from, and whether the caller named it (else it is the caller's own source). */
export function sourceOf(options: AIOptions): { source: ShardSource; named: boolean } {
  // Not demoModel itself: the package may have been placed elsewhere since.
  const { model = new URL('models/demo/container/', packageRoot) } = options;
  if (typeof model !== 'string' && !(model instanceof URL)) return { source: model, named: false };
  return { source: sourceFrom(model, options.fetch, downloadOptions(options)), named: true };
}

function downloadOptions({ cache, download }: AIOptions): SourceOptions {
  return { ...download, ...(cache !== undefined && { cache }) };
}

async function openFor(options: AIOptions, signal: AbortSignal): Promise<Engine> {
  const inline = options.thread === 'inline' || options.wasm !== undefined;
  const inWorker = !inline && (options.thread === 'worker' || (await workersExist()));
  const engineOptions: EngineOptions = {
    threads: options.threads ?? (inWorker && !options.tokenizerOnly ? await processorCount() : 1),
    open: coreOptions(options),
    ...(options.variant && { variant: options.variant }),
    ...(options.revectorise !== undefined && { revectorise: options.revectorise }),
    ...(options.wasm && { wasm: options.wasm }),
    ...(options.tokenizerOnly && { tokenizerOnly: true }),
  };
  try {
    // A fetch of the caller's cannot cross into the worker; then the bytes are read on this side.
    const { source, named } = sourceOf(options);
    if (named && /^https?:/i.test(String(options.model ?? packageRoot)))
      void askToPersist(options.cache);
    const onProgress = told(options.onProgress);
    return inWorker
      ? await openThreadEngine(engineOptions, source, onProgress, signal)
      : await openEngine(engineOptions, source, onProgress, undefined, signal);
  } catch (error) {
    if (error instanceof OcelliError) throw inOurWords(error);
    if (!(error instanceof Error)) throw error;
    throw new OcelliError(
      500,
      'internal_error',
      `the engine cannot be opened: ${error.message}`,
      null,
      error,
    );
  }
}
