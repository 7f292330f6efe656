// Owns the engine as the calling thread sees it: the interface of engine.ts over a worker. Called by ai.ts. Surprise:
// the worker keeps the process alive only while something is pending, so a program simply ends when it is done.
import { engineCrashed, fromPlain, OcelliError, toPlain } from '../errors.ts';
import { threadScript } from '../host.ts';
import type { ProgressCallback } from '../weights/progress.ts';
import type { ShardSource } from '../weights/source.ts';
import { provide } from './host_source.ts';
import type {
  Engine,
  EngineInfo,
  EngineOptions,
  EventSink,
  FromThread,
  SourceName,
  ThreadCall,
  ToThread,
} from './protocol.ts';
import { startWorker, type WorkerLine } from './worker.ts';

/** Opens an engine in a worker. A source with a name is made anew over there, others are read on this side. */
export async function openThreadEngine(
  options: EngineOptions,
  source: ShardSource,
  progress?: ProgressCallback,
  signal?: AbortSignal,
): Promise<Engine> {
  const line = await startWorker<ToThread, FromThread>(threadScript, 'ocelli');
  return await openOverLine(line, options, source, progress, signal);
}

/** How long a thread may take to close its engine: at most one step is in its way. */
const closeMs = 5000;
/** How long a thread that is about to be ended may take to close its files. */
const releaseMs = 1500;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** The same over a given line; apart for tests. */
export async function openOverLine(
  line: WorkerLine<ToThread, FromThread>,
  options: EngineOptions,
  source: ShardSource,
  progress?: ProgressCallback,
  signal?: AbortSignal,
): Promise<Engine> {
  const waiting = new Map<number, Waiting>();
  const sinks = new Map<number, EventSink>();
  let opening: { resolve(info: EngineInfo): void; reject(error: unknown): void } | null = null;
  let death: OcelliError | null = null;
  let last = 0;

  const hold = (): void => line.hold(opening !== null || waiting.size > 0 || sinks.size > 0);
  let released = (): void => undefined;
  /** Ends the thread; `alive`: it can still close what it holds, such as files that others wait for. */
  const endThread = async (alive: boolean): Promise<void> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (alive) {
      const done = new Promise<void>((resolve) => (released = resolve));
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, releaseMs)));
      line.post({ type: 'release' });
      await Promise.race([done, late]);
    }
    clearTimeout(timer);
    await line.end();
  };
  let ended: Promise<unknown> = Promise.resolve();
  const die = (error: OcelliError, alive = true): void => {
    if (death) return;
    death = error;
    opening?.reject(error);
    opening = null;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
    const { code, message, param, status: http } = error;
    for (const sink of sinks.values())
      sink({ type: 'error', status: 900, code, http, message, param });
    sinks.clear();
    ended = Promise.allSettled([source.close?.(), endThread(alive)]);
  };

  const provider = provide(line, source);
  const receive = (message: FromThread): void => {
    if (message.type === 'released') return released();
    if (death) return;
    switch (message.type) {
      case 'opened':
        opening?.resolve(message.info);
        opening = null;
        break;
      case 'failed':
        return die(fromPlain(message.error));
      case 'progress':
        progress?.(message.bytes, message.total, message.more);
        break;
      case 'reply':
        waiting.get(message.id)?.resolve(message.value);
        waiting.delete(message.id);
        break;
      case 'refused':
        waiting.get(message.id)?.reject(fromPlain(message.error));
        waiting.delete(message.id);
        sinks.delete(message.id);
        if (message.death) die(fromPlain(message.death));
        break;
      case 'events':
        for (const { id, event } of message.events) {
          const sink = sinks.get(id);
          if (event.type === 'done' || event.type === 'error') sinks.delete(id);
          sink?.(event);
        }
        if (message.death) die(fromPlain(message.death));
        break;
      case 'settle':
      case 'need':
      case 'more':
      case 'stop':
        provider(message);
        break;
    }
    hold();
  };

  const ask = (id: number, message: ToThread): Promise<unknown> => {
    if (death) return Promise.reject(death);
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      hold();
      line.post(message);
    });
  };
  const call = (request: ThreadCall): Promise<unknown> => {
    const id = ++last;
    return ask(id, { type: 'call', id, call: request });
  };

  line.listen(receive);
  line.onFailure((error) =>
    die(error instanceof OcelliError ? error : engineCrashed(error), false),
  );
  const { name: model, options: how } = source;
  const name: SourceName = model === undefined ? 'host' : { model, ...(how && { options: how }) };
  const abort = (): void => die(new OcelliError(500, 'engine_closed', 'the engine was closed'));
  signal?.addEventListener('abort', abort);
  const info = await new Promise<EngineInfo>((resolve, reject) => {
    opening = { resolve, reject };
    hold();
    try {
      line.post({ type: 'open', options, source: name });
    } catch (error) {
      die(fromPlain(toPlain(error)));
    }
    if (signal?.aborted) abort();
  }).finally(() => signal?.removeEventListener('abort', abort));

  return {
    info,
    get death() {
      return death;
    },
    loaded: async () => void (await call({ name: 'loaded' })),
    async start(request, sink) {
      const id = ++last;
      sinks.set(id, sink);
      await ask(id, { type: 'start', id, request });
      return () => {
        if (!death && sinks.has(id)) line.post({ type: 'cancel', id });
      };
    },
    tokenize: async (text, addedTokens) =>
      (await call({ name: 'tokenize', text, addedTokens })) as number[],
    detokenize: async (ids, skipSpecial) =>
      (await call({ name: 'detokenize', ids, skipSpecial })) as string,
    stats: () => call({ name: 'stats' }),
    loadAdapter: async (adapter, files) =>
      void (await call({ name: 'load adapter', adapter, files })),
    dropAdapter: async (adapter) => void (await call({ name: 'drop adapter', adapter })),
    async close() {
      if (!death) {
        // A thread that does not answer is ended all the same.
        let timer: ReturnType<typeof setTimeout> | undefined;
        const late = new Promise((resolve) => (timer = setTimeout(resolve, closeMs)));
        await Promise.race([call({ name: 'close' }).catch(() => undefined), late]);
        clearTimeout(timer);
        die(new OcelliError(500, 'engine_closed', 'the engine was closed'));
      }
      await ended;
    },
  };
}
