// Owns the engine's side of the thread that reads weights: a mover that lets it write to the core's shared memory. Called
// by engine.ts. Surprise: the thread starts with the first shard; a thread that dies takes all that was asked of it along.
import { engineCrashed, fromPlain, type PlainError } from '../errors.ts';
import { loaderScript } from '../host.ts';
import type { Mover } from '../weights/place.ts';
import type { ShardInfo } from '../weights/source.ts';
import type { SourceByName } from './protocol.ts';
import { startWorker, type WorkerLine } from './worker.ts';

export type ToLoader =
  | { type: 'open'; source: SourceByName; memory: WebAssembly.Memory }
  | { type: 'settle'; id: number; index: number; info: ShardInfo; good: boolean }
  /** No more is wanted: what is under way is left as it is, then comes "stopped". */
  | { type: 'stop' }
  | { type: 'move'; id: number; index: number; info: ShardInfo; address: number; bytes: number };

export type FromLoader =
  | { type: 'progress'; id: number; bytes: number; fetched: number }
  | { type: 'moved'; id: number; sha256: string | null; fetched: number }
  | { type: 'settled'; id: number; again: boolean }
  | { type: 'stopped' }
  | { type: 'failed'; id: number; error: PlainError };

interface Pending {
  /** Told of a message about it; a throw ends it. */
  take(message: FromLoader): void;
  reject(error: unknown): void;
}

/** How long the thread may take to close its files before it is ended all the same. */
const stopMs = 1000;

/**
 * A mover whose bytes never pass this thread; end() when no more is to be moved. `settles`: whether the source wants to
 * know what a shard was worth. `spawn` is for tests.
 */
export function moverInThread(
  source: SourceByName,
  memory: WebAssembly.Memory,
  signal: AbortSignal,
  settles = false,
  spawn = () => startWorker<ToLoader, FromLoader>(loaderScript, 'ocelli weights'),
): Mover & { end(): Promise<void> } {
  const pending = new Map<number, Pending>();
  let last = 0;
  let opening: Promise<WorkerLine<ToLoader, FromLoader>> | undefined;
  let ending: Promise<void> | undefined;
  let hasStopped = (): void => undefined;
  const stopped = new Promise<void>((resolve) => (hasStopped = resolve));

  /** Resolves when the thread has ended. */
  const end = (error?: unknown): Promise<void> => {
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
    return (ending ??= stop());
  };
  const stop = async (): Promise<void> => {
    const line = await opening?.catch(() => undefined);
    if (!line) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, stopMs)));
    line.post({ type: 'stop' });
    await Promise.race([stopped, late]);
    clearTimeout(timer);
    await line.end();
  };
  const receive = (message: FromLoader): void => {
    if (message.type === 'stopped') return hasStopped();
    const one = pending.get(message.id);
    if (!one) return;
    if (message.type !== 'progress') pending.delete(message.id);
    try {
      if (message.type === 'failed') throw fromPlain(message.error);
      one.take(message);
    } catch (error) {
      pending.delete(message.id);
      one.reject(error);
    }
  };
  const open = async (): Promise<WorkerLine<ToLoader, FromLoader>> => {
    const line = await spawn();
    line.listen(receive);
    line.onFailure((error) => {
      hasStopped();
      void end(engineCrashed(error));
    });
    line.post({ type: 'open', source, memory });
    return line;
  };
  signal.addEventListener('abort', () => void end(signal.reason), { once: true });

  const ask = async <T>(
    message: (id: number) => ToLoader,
    answer: (message: FromLoader, resolve: (value: T) => void) => void,
  ): Promise<T> => {
    const id = ++last;
    const line = await (opening ??= open());
    if (ending) throw engineCrashed('its thread for weights has ended');
    return await new Promise<T>((resolve, reject) => {
      pending.set(id, { take: (message) => answer(message, resolve), reject });
      line.post(message(id));
    });
  };
  const mover: Mover = {
    move: ({ index, info, address, bytes, progress }) =>
      ask<string | null>(
        (id) => ({ type: 'move', id, index, info, address, bytes }),
        (message, resolve) => {
          if (message.type === 'progress') progress(message.bytes, message.fetched);
          if (message.type !== 'moved') return;
          progress(bytes, message.fetched);
          resolve(message.sha256);
        },
      ),
  };
  if (settles) {
    mover.settle = (index, info, good) =>
      ask<boolean>(
        (id) => ({ type: 'settle', id, index, info, good }),
        (message, resolve) => message.type === 'settled' && resolve(message.again),
      );
  }
  return { ...mover, end: () => end() };
}
