// Owns the engine in this very thread: it opens a core, places the weights and pulls steps while requests are open.
// Called by entry.ts (in a worker) and by ai.ts where there are no workers. Surprise: an engine is open, and computes,
// before its weights are all there; and between two steps messages and weights get their turn, which is all it takes for
// a cancel to work within one step.
import type { Calls, Timing } from '../abi/calls.ts';
import { loadCore, type LoadedCore } from '../abi/load.ts';
import { badRequest, engineCrashed, inPart, OcelliError } from '../errors.ts';
import { clockMs, giveWay, pause } from '../host.ts';
import { parseManifest } from '../weights/manifest.ts';
import { moverHere, placeShards } from '../weights/place.ts';
import type { ProgressCallback } from '../weights/progress.ts';
import type { Manifest, ShardInfo, ShardSource } from '../weights/source.ts';
import { moverInThread } from './loader.ts';
import type {
  CoreRequest,
  DumpFile,
  Engine,
  EngineEvent,
  EngineInfo,
  EngineOptions,
  EventSink,
} from './protocol.ts';

interface Running {
  sink: EventSink;
  dump: boolean;
  images: number;
  opened: number;
  firstToken: number;
}

export type CoreLoader = (options: EngineOptions) => Promise<LoadedCore>;

/**
 * Opens an engine here: as soon as its tokenizer is there, the other weights follow. Until then another manifest is tried
 * where this one may be wrong. `signal` ends the opening, with its reason. `load` is for tests.
 */
export async function openEngine(
  options: EngineOptions,
  source: ShardSource,
  progress?: ProgressCallback,
  load: CoreLoader = loadCore,
  signal?: AbortSignal,
): Promise<Engine> {
  let manifest = (): Promise<Uint8Array> => source.manifest(signal);
  try {
    for (;;) {
      try {
        return await openOnce(options, manifest, source, progress, load, signal);
      } catch (error) {
        if (signal?.aborted) throw error;
        const other = await source.otherManifest?.(error, signal);
        if (!other) throw error;
        manifest = async () => other;
      }
    }
  } catch (error) {
    await source.close?.();
    throw error;
  }
}

/** The engine, with this manifest. */
async function openOnce(
  options: EngineOptions,
  askManifest: () => Promise<Uint8Array>,
  source: ShardSource,
  progress: ProgressCallback | undefined,
  load: CoreLoader,
  signal: AbortSignal | undefined,
): Promise<Engine> {
  // The module is compiled and tested while the manifest is on its way.
  const loading = load(options);
  loading.catch(() => undefined); // awaited below, after the manifest
  let core: LoadedCore | undefined;
  try {
    const bytes = await askManifest();
    signal?.throwIfAborted();
    const manifest = parseManifest(bytes);
    core = await loading;
    signal?.throwIfAborted();
    const open = { seed: entropy(), ...options.open, threads: core.threads };
    const plan = core.calls.plan(bytes, open);
    const handle = core.calls.open(bytes, open);
    const context =
      (plan as { context?: number } | null)?.context ??
      open.context ??
      manifest.config.text.context;
    const { engine, opened } = engineOf(core, handle, manifest, source, {
      info: {
        model: manifest.name,
        variant: core.variant,
        threads: core.threads,
        revectorised: core.revectorised,
        compute: open.compute ?? 'fast',
        context,
        precision: manifest.precision,
        plan,
      },
      tokenizerOnly: options.tokenizerOnly ?? false,
      progress,
    });
    const abort = (): void => void engine.close();
    signal?.addEventListener('abort', abort);
    try {
      await opened;
    } catch (error) {
      await engine.close(); // what it holds is let go before anybody hears of it
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    return engine;
  } catch (error) {
    if (core) await core.stop();
    else
      void loading.then(
        (late) => late.stop(),
        () => undefined,
      );
    throw error;
  }
}

/** 53 random bits: as many as a JSON number carries. */
function entropy(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}

function timingOf({ opened, firstToken }: Running): Timing {
  const now = clockMs();
  const first = firstToken || now;
  return { first_token_ms: first - opened, decode_ms: now - first };
}

interface Opening {
  info: EngineInfo;
  tokenizerOnly: boolean;
  progress: ProgressCallback | undefined;
}

/** How long a step waits for the next piece of weights that should be on its way. */
const patienceMs = 2;

/** How long a request's loop leaves the stepping to another one before it looks again. */
const watchMs = 50;

const hasTokenizer = (info: ShardInfo): boolean => info.holds.includes('tokenizer');

/** The engine, and when it can be used: the tokenizer is there. */
function engineOf(
  core: LoadedCore,
  handle: number,
  manifest: Manifest,
  source: ShardSource,
  { info, tokenizerOnly, progress }: Opening,
): { engine: Engine; opened: Promise<void> } {
  const calls: Calls = core.calls;
  const running = new Map<number, Running>();
  const closing = new AbortController();
  let death: OcelliError | null = null;
  let driver = 0;
  let beats = 0;
  const nobody = (): void => undefined;
  let wake = nobody;

  let lettingGo: Promise<unknown> | undefined;
  let stopped: Promise<void> | undefined;
  /** Where weights came from has nothing open any more, and no locks. */
  const letGo = (): Promise<unknown> =>
    (lettingGo ??= Promise.allSettled([thread?.end(), source.close?.()]));

  // Until the first answer has begun, what it does not need leaves it the processors. The promise is made when somebody waits:
  // workerd warns where one of a request that is over is resolved.
  let loadsAll = false;
  let goOn = nobody;
  const loadAll = (): void => {
    loadsAll = true;
    goOn();
    goOn = nobody;
  };

  /** What a request held is given back; the core may be gone by then. */
  const release = (request: number): void => {
    running.delete(request);
    if (!death) calls.requestClose(handle, request);
  };

  /** Nothing works from here on; pending requests learn why. */
  const end = (known: OcelliError): void => {
    death = known;
    closing.abort(known);
    loadAll();
    void letGo();
    const event: EngineEvent = {
      type: 'error',
      status: 900,
      code: known.code,
      http: known.status,
      message: known.message,
      param: known.param,
    };
    const pending = [...running.values()];
    running.clear();
    for (const { sink } of pending) sink(event);
    wake();
  };
  const crash = (error: unknown): void => {
    end(error instanceof OcelliError ? error : engineCrashed(error));
    stopped = core.stop();
  };

  // The weights: what can be computed without the rest does not wait for it.
  let warming = false;
  const warmUp = async (): Promise<void> => {
    if (warming) return;
    warming = true;
    try {
      while (!death && !complete && running.size === 0 && calls.warmUp(handle)) await giveWay();
    } catch (error) {
      if (!death) crash(error);
    } finally {
      warming = false;
    }
  };
  let complete = false;
  const missing = new Set(manifest.shards.keys());
  if (manifest.shards.some(hasTokenizer))
    for (const [index, shard] of manifest.shards.entries())
      if (!hasTokenizer(shard)) missing.delete(index);
  let opens = (): void => undefined;
  const tokenizer = new Promise<void>((resolve) => (opens = resolve));
  // Another thread reads and hashes where it can reach both ends; a step may take this one for long.
  const { memory } = core;
  const thread =
    memory && source.name !== undefined && !tokenizerOnly
      ? moverInThread(
          { model: source.name, ...(source.options && { options: source.options }) },
          memory,
          closing.signal,
          source.settle !== undefined,
        )
      : null;
  const mover = thread ?? moverHere(calls, source);
  let come = 0;
  const loaded = placeShards(calls, handle, manifest, mover, {
    progress(bytes, total, more) {
      come = bytes;
      progress?.(bytes, total, more);
    },
    parallel: source.parallel,
    wanted: tokenizerOnly ? hasTokenizer : undefined,
    vision: () => [...running.values()].some(({ images }) => images > 0),
    held: () => running.size > 0 && !loadsAll,
    released: () => new Promise((resolve) => (goOn = resolve)),
    signal: closing.signal,
    placed(index) {
      missing.delete(index);
      if (missing.size === 0) opens();
      wake();
      if (!tokenizerOnly) void giveWay().then(warmUp);
    },
  }).then(() => {
    complete = true;
    void letGo();
    if (!tokenizerOnly) calls.ready(handle);
  });
  loaded.catch((error: unknown) => {
    if (!death) crash(error);
  });
  const opened = tokenizerOnly ? loaded : Promise.race([tokenizer, loaded]);

  /** Weights that come through this very thread get their turn: as long as the step took, while they keep coming. */
  const letWeightsCome = async (ms: number): Promise<void> => {
    const start = clockMs();
    let last = start;
    let seen = come;
    for (let now = start; now - start < ms && now - last < patienceMs; now = clockMs()) {
      await giveWay();
      beats++;
      if (death || complete) return;
      if (come !== seen) last = now;
      seen = come;
    }
  };

  const dumped = (request: number, images: number): DumpFile[] => {
    const names = ['prompt.json', ...Array.from({ length: images }, (_, n) => `vision_${n}`)];
    return names.map((name) => ({ name, ...calls.dump(handle, request, name) }));
  };

  const drain = (): void => {
    for (let next = calls.nextEvent(handle); next; next = calls.nextEvent(handle)) {
      const { request, event } = next;
      const one = running.get(request);
      if (!one) continue;
      if (event.type === 'prompt') one.images = event.images.length;
      if (event.type === 'delta' && event.tokens !== 0) one.firstToken ||= clockMs(); // 0: an echo
      if (event.type !== 'prompt' && event.type !== 'progress') loadAll();
      if (event.type === 'done') event.timing = timingOf(one);
      if (event.type === 'done' && one.dump)
        one.sink({ type: 'dump', files: dumped(request, one.images) });
      if (event.type === 'done' || event.type === 'error') release(request);
      one.sink(event);
    }
  };

  /** Steps until no request is open, or another one's loop has taken over. */
  const drive = async (mine: number): Promise<void> => {
    driver = mine;
    try {
      while (running.size > 0 && !death && driver === mine) {
        beats++;
        const began = clockMs();
        const woken = new Promise<void>((resolve) => (wake = resolve));
        const state = calls.step(handle);
        drain();
        if (state !== 'weights') wake = nobody;
        if (state === 'idle' && running.size > 0)
          throw new Error('the core has nothing to do, but requests are open');
        await (state === 'weights' ? woken : giveWay());
        if (!complete && !thread) await letWeightsCome(clockMs() - began);
      }
    } catch (error) {
      if (!death) crash(error);
    } finally {
      if (driver === mine) driver = 0;
    }
  };
  /**
   * A request's own loop. One of them drives; the others watch it, and take over when it no longer moves: workerd ends
   * what a request has begun, unseen, when that request ends, and gives up a request that has nothing of its own to wait for.
   */
  const loop = async (mine: number): Promise<void> => {
    let seen = beats;
    while (running.has(mine) && !death) {
      if (driver === 0) await drive(mine);
      else await pause(watchMs);
      if (beats === seen) driver = 0;
      seen = beats;
    }
  };

  const alive = <T>(work: () => T): T => {
    if (death) throw death;
    try {
      return work();
    } catch (error) {
      if (error instanceof OcelliError && error.code === 'engine_crashed') crash(error);
      throw error;
    }
  };

  const putImage = (image: Uint8Array, path: string): number => {
    try {
      return calls.mediaPut(handle, image);
    } catch (error) {
      throw inPart(error, path);
    }
  };

  const open = (request: CoreRequest, sink: EventSink): number => {
    const media: number[] = [];
    const drop = (): void => {
      for (const one of media.splice(0)) calls.mediaDrop(handle, one);
    };
    try {
      for (const [i, image] of request.images.entries())
        media.push(putImage(image, request.imagePaths[i] ?? 'an image'));
      let body = request.body[0] ?? '';
      for (const [i, one] of media.entries()) body += one + (request.body[i + 1] ?? '');
      const opened = calls.requestOpen(handle, body);
      running.set(opened, {
        sink,
        dump: request.dump,
        images: request.images.length,
        opened: clockMs(),
        firstToken: 0,
      });
      if (request.images.length > 0) loadAll();
      drop(); // the request holds its images itself, and no longer than it needs them
      return opened;
    } catch (error) {
      if (!(error instanceof OcelliError && error.code === 'engine_crashed')) drop();
      throw error;
    }
  };

  const engine: Engine = {
    info,
    get death() {
      return death;
    },
    loaded: () => loaded,
    async start(request, sink) {
      if (tokenizerOnly)
        throw new OcelliError(503, 'not_ready', 'only the tokenizer of this model is loaded');
      const opened = alive(() => open(request, sink));
      // Not at once: the caller first learns that the request was accepted.
      void giveWay().then(() => {
        wake();
        return loop(opened);
      });
      return () => {
        if (death || !running.has(opened)) return;
        alive(() => calls.requestCancel(handle, opened));
        wake();
      };
    },
    tokenize: async (text, addedTokens) => alive(() => calls.tokenize(handle, text, addedTokens)),
    async detokenize(ids, skipSpecial) {
      const wrong = ids.find((id) => !Number.isInteger(id));
      if (wrong !== undefined)
        throw badRequest('invalid_token_id', `token id ${wrong} is not an integer`, 'tokens');
      return alive(() => calls.detokenize(handle, ids, skipSpecial));
    },
    stats: async () => alive(() => calls.stats(handle)),
    loadAdapter: async (name, { config, tensors }) =>
      alive(() => calls.adapterLoad(handle, name, config, tensors)),
    dropAdapter: async (name) => alive(() => calls.adapterDrop(handle, name)),
    async close() {
      if (!death) {
        end(new OcelliError(500, 'engine_closed', 'the engine was closed'));
        // In this order: the core waits for its helper threads to end.
        calls.close(handle);
        stopped = core.stop();
      }
      await Promise.all([letGo(), stopped]);
    },
  };
  return { engine, opened };
}
