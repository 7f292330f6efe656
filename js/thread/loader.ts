// Owns the engine's side of the thread that reads weights: a mover that lets it write to the core's shared memory. Called
// by engine.ts. Surprise: the thread starts with the first shard; a thread that dies takes all that was asked of it along.
import { engineCrashed, fromPlain, type PlainError } from '../errors.ts';
import { loaderScript } from '../host.ts';
import type { Mover, Moving } from '../weights/place.ts';
import type { ShardInfo } from '../weights/source.ts';
import { startWorker, type WorkerLine } from './worker.ts';

export type ToLoader =
  | { type: 'open'; model: string; memory: WebAssembly.Memory }
  | { type: 'move'; id: number; index: number; info: ShardInfo; address: number; bytes: number };

export type FromLoader =
  | { type: 'progress'; id: number; bytes: number }
  | { type: 'moved'; id: number; sha256: string | null }
  | { type: 'failed'; id: number; error: PlainError };

interface Pending {
  moving: Moving;
  resolve(sha256: string | null): void;
  reject(error: unknown): void;
}

/** A mover whose bytes never pass this thread; end() when no more is to be moved. `spawn` is for tests. */
export function moverInThread(
  model: string,
  memory: WebAssembly.Memory,
  signal: AbortSignal,
  spawn = () => startWorker<ToLoader, FromLoader>(loaderScript, 'ocelli weights'),
): { move: Mover; end(): void } {
  const pending = new Map<number, Pending>();
  let last = 0;
  let opening: Promise<WorkerLine<ToLoader, FromLoader>> | undefined;
  let ended = false;

  const end = (error?: unknown): void => {
    ended = true;
    void opening?.then(
      (line) => line.end(),
      () => undefined,
    );
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };
  const receive = (message: FromLoader): void => {
    const one = pending.get(message.id);
    if (!one) return;
    if (message.type !== 'progress') pending.delete(message.id);
    try {
      if (message.type === 'failed') throw fromPlain(message.error);
      one.moving.progress(message.type === 'moved' ? one.moving.bytes : message.bytes);
      if (message.type === 'moved') one.resolve(message.sha256);
    } catch (error) {
      pending.delete(message.id);
      one.reject(error);
    }
  };
  const open = async (): Promise<WorkerLine<ToLoader, FromLoader>> => {
    const line = await spawn();
    line.listen(receive);
    line.onFailure((error) => end(engineCrashed(error)));
    line.post({ type: 'open', model, memory });
    return line;
  };
  signal.addEventListener('abort', () => end(signal.reason), { once: true });

  const move: Mover = async (moving) => {
    const id = ++last;
    const { index, info, address, bytes } = moving;
    const line = await (opening ??= open());
    if (ended) throw engineCrashed('its thread for weights has ended');
    return await new Promise<string | null>((resolve, reject) => {
      pending.set(id, { moving, resolve, reject });
      line.post({ type: 'move', id, index, info, address, bytes });
    });
  };
  return { move, end: () => end() };
}
