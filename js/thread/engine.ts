// Owns the engine in this very thread: it opens a core, places the weights and pulls steps while requests are open.
// Called by entry.ts (in a worker) and by ai.ts where there are no workers. Surprise: between two steps messages get
// their turn, and that is all it takes for a cancel to work within one step.
import type { Calls, Timing } from '../abi/calls.ts';
import { loadCore, type LoadedCore } from '../abi/load.ts';
import { badRequest, engineCrashed, OcelliError, toPlain } from '../errors.ts';
import { giveWay } from '../host.ts';
import { placeShards, type ProgressCallback } from '../weights/place.ts';
import type { Manifest, ShardSource } from '../weights/source.ts';
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

/** Opens an engine here. `load` is for tests. */
export async function openEngine(
  options: EngineOptions,
  source: ShardSource,
  progress?: ProgressCallback,
  load: CoreLoader = loadCore,
): Promise<Engine> {
  const bytes = await source.manifest();
  const manifest = parseManifest(bytes);
  const core = await load(options);
  try {
    const open = { seed: entropy(), ...options.open, threads: core.threads };
    const plan = core.calls.plan(bytes, open);
    const handle = core.calls.open(bytes, open);
    const wanted = options.tokenizerOnly
      ? (info: { holds: string[] }) => info.holds.includes('tokenizer')
      : undefined;
    await placeShards(core.calls, handle, manifest, source, progress, wanted);
    if (!options.tokenizerOnly) core.calls.ready(handle);
    const context =
      (plan as { context?: number } | null)?.context ??
      open.context ??
      manifest.config.text.context;
    return engineOf(core, handle, {
      model: manifest.name,
      variant: core.variant,
      threads: core.threads,
      revectorised: core.revectorised,
      compute: open.compute ?? 'fast',
      context,
      precision: manifest.precision,
      plan,
    });
  } catch (error) {
    core.stop();
    throw error;
  }
}

/** 53 random bits: as many as a JSON number carries. */
function entropy(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (high >>> 11) * 2 ** 32 + low;
}

/** The manifest as JavaScript reads it; the core checks all the rest. */
export function parseManifest(bytes: Uint8Array): Manifest {
  let manifest: Manifest | null = null;
  try {
    manifest = JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  } catch (error) {
    throw new OcelliError(
      500,
      'invalid_manifest',
      `manifest.json is not JSON: ${toPlain(error).message}`,
    );
  }
  if (!Array.isArray(manifest?.shards) || typeof manifest.name !== 'string') {
    throw new OcelliError(
      500,
      'invalid_manifest',
      'manifest.json has no name or no list of shards',
    );
  }
  return manifest;
}

function timingOf({ opened, firstToken }: Running): Timing {
  const now = performance.now();
  const first = firstToken || now;
  return { first_token_ms: first - opened, decode_ms: now - first };
}

function engineOf(core: LoadedCore, handle: number, info: EngineInfo): Engine {
  const calls: Calls = core.calls;
  const running = new Map<number, Running>();
  let dead = false;
  let looping = false;

  /** What a request held is given back; the core may be gone by then. */
  const release = (request: number): void => {
    running.delete(request);
    if (!dead) calls.requestClose(handle, request);
  };

  /** Nothing works from here on; pending requests learn why. */
  const end = (known: OcelliError): void => {
    dead = true;
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
  };
  const crash = (error: unknown): void => {
    end(error instanceof OcelliError ? error : engineCrashed(error));
    core.stop();
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
      if (event.type === 'delta') one.firstToken ||= performance.now();
      if (event.type === 'done') event.timing = timingOf(one);
      if (event.type === 'done' && one.dump)
        one.sink({ type: 'dump', files: dumped(request, one.images) });
      if (event.type === 'done' || event.type === 'error') release(request);
      one.sink(event);
    }
  };

  const loop = async (): Promise<void> => {
    if (looping) return;
    looping = true;
    try {
      while (running.size > 0 && !dead) {
        const more = calls.step(handle);
        drain();
        if (!more && running.size > 0)
          throw new Error('the core has nothing to do, but requests are open');
        await giveWay();
      }
    } catch (error) {
      if (!dead) crash(error);
    } finally {
      looping = false;
    }
  };

  const alive = <T>(work: () => T): T => {
    if (dead) throw engineCrashed('it is closed');
    try {
      return work();
    } catch (error) {
      if (error instanceof OcelliError && error.code === 'engine_crashed') crash(error);
      throw error;
    }
  };

  const open = (request: CoreRequest, sink: EventSink): number => {
    const media: number[] = [];
    const drop = (): void => {
      for (const one of media.splice(0)) calls.mediaDrop(handle, one);
    };
    try {
      for (const image of request.images) media.push(calls.mediaPut(handle, image));
      let body = request.body[0] ?? '';
      for (const [i, one] of media.entries()) body += one + (request.body[i + 1] ?? '');
      const opened = calls.requestOpen(handle, body);
      running.set(opened, {
        sink,
        dump: request.dump,
        images: request.images.length,
        opened: performance.now(),
        firstToken: 0,
      });
      drop(); // the request holds its images itself, and no longer than it needs them
      return opened;
    } catch (error) {
      if (!(error instanceof OcelliError && error.code === 'engine_crashed')) drop();
      throw error;
    }
  };

  return {
    info,
    get dead() {
      return dead;
    },
    async start(request, sink) {
      const opened = alive(() => open(request, sink));
      // Not at once: the caller first learns that the request was accepted.
      void giveWay().then(loop);
      return () => {
        if (!dead && running.has(opened)) alive(() => calls.requestCancel(handle, opened));
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
    async close() {
      if (dead) return;
      end(new OcelliError(500, 'engine_closed', 'the engine was closed'));
      // In this order: the core waits for its helper threads to end.
      calls.close(handle);
      core.stop();
    },
  };
}
