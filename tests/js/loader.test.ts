// The thread that reads weights, seen from the engine's side: what it is told, and what its end means for those who wait.
// Surprise: the thread is a script here; the real one is part of every test that opens a folder in a threaded build.
import { describe, expect, it } from 'vitest';
import { OcelliError } from '../../js/errors.ts';
import { type FromLoader, moverInThread, type ToLoader } from '../../js/thread/loader.ts';
import type { WorkerLine } from '../../js/thread/worker.ts';
import type { Moving } from '../../js/weights/place.ts';
import { rejection, settled } from './fake_ai.ts';

const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const info = { sha256: 'a'.repeat(64), bytes: 100, holds: [] };

function opened() {
  const control = new AbortController();
  const seen: ToLoader[] = [];
  const thread = {
    started: 0,
    ended: 0,
    stops: true,
    say: (_: FromLoader) => {},
    fail: (_: unknown) => {},
  };
  const line: WorkerLine<ToLoader, FromLoader> = {
    post(message) {
      seen.push(message);
      if (message.type === 'stop' && thread.stops) thread.say({ type: 'stopped' });
    },
    listen: (handler) => void (thread.say = handler),
    onFailure: (handler) => void (thread.fail = handler),
    hold: () => undefined,
    end: async () => void thread.ended++,
  };
  const spawn = async () => {
    thread.started++;
    return line;
  };
  const mover = moverInThread({ model: 'a folder' }, memory, control.signal, true, spawn);
  const told: number[] = [];
  const moving = (index: number, progress = (bytes: number) => void told.push(bytes)): Moving => ({
    index,
    info,
    address: 1000 * index,
    bytes: 100,
    progress,
  });
  return { control, seen, thread, mover, told, moving };
}

describe('the thread for weights', () => {
  it('starts once, is told what to move, and tells how far it is', async () => {
    const { seen, thread, mover, told, moving } = opened();
    const moves = [mover.move(moving(1)), mover.move(moving(2))];
    await settled();
    expect(thread.started).toBe(1);
    expect(seen).toEqual([
      { type: 'open', source: { model: 'a folder' }, memory },
      { type: 'move', id: 1, index: 1, info, address: 1000, bytes: 100 },
      { type: 'move', id: 2, index: 2, info, address: 2000, bytes: 100 },
    ]);
    thread.say({ type: 'progress', id: 1, bytes: 40, fetched: 30 });
    thread.say({ type: 'moved', id: 2, sha256: null, fetched: 0 });
    thread.say({ type: 'moved', id: 1, sha256: 'abc', fetched: 100 });
    expect(await Promise.all(moves)).toEqual(['abc', null]);
    expect(told).toEqual([40, 100, 100]);
    mover.end();
    await settled();
    expect(thread.ended).toBe(1);
  });

  it('hands on what goes wrong with one shard', async () => {
    const { thread, mover, told, moving } = opened();
    const moves = [mover.move(moving(1)), mover.move(moving(2))];
    await settled();
    const error = { status: 500, code: 'io_error', message: 'gone', param: null };
    thread.say({ type: 'failed', id: 1, error });
    thread.say({ type: 'moved', id: 2, sha256: null, fetched: 0 });
    expect(await rejection(moves[0] as Promise<unknown>)).toMatchObject(error);
    expect(await moves[1]).toBe(null);
    expect(told).toEqual([100]);
  });

  it('rejects all when it dies, now and later', async () => {
    const { thread, mover, moving } = opened();
    const moves = [mover.move(moving(1)), mover.move(moving(2))].map(rejection);
    await settled();
    thread.fail(new Error('exit code 134'));
    for (const { code } of await Promise.all(moves)) expect(code).toBe('engine_crashed');
    expect((await rejection(mover.move(moving(3)))).code).toBe('engine_crashed');
  });

  it('ends with the engine', async () => {
    const { control, thread, mover, moving } = opened();
    const move = rejection(mover.move(moving(1)));
    await settled();
    control.abort(new OcelliError(500, 'engine_closed', 'the engine was closed'));
    expect((await move).code).toBe('engine_closed');
    await settled();
    expect(thread.ended).toBe(1);
    thread.say({ type: 'moved', id: 1, sha256: null, fetched: 0 }); // too late for anybody
  });

  it('is told what a shard was worth, and says whether to try again', async () => {
    const { seen, thread, mover } = opened();
    const asked = [mover.settle?.(4, info, false), mover.settle?.(5, info, true)];
    await settled();
    expect(seen.slice(1)).toEqual([
      { type: 'settle', id: 1, index: 4, info, good: false },
      { type: 'settle', id: 2, index: 5, info, good: true },
    ]);
    thread.say({ type: 'settled', id: 2, again: false });
    thread.say({ type: 'settled', id: 1, again: true });
    expect(await Promise.all(asked)).toEqual([true, false]);
  });

  it('is ended all the same when it does not answer any more', async () => {
    const { thread, mover, moving } = opened();
    void mover.move(moving(1)).catch(() => undefined);
    await settled();
    thread.stops = false;
    mover.end();
    await settled();
    expect(thread.ended).toBe(0); // it may close its files
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(thread.ended).toBe(1);
  });

  it('rejects when what it tells cannot be used', async () => {
    const { thread, mover, moving } = opened();
    const full = new OcelliError(507, 'out_of_memory', 'no room for the next shard');
    const move = mover.move(
      moving(1, () => {
        throw full;
      }),
    );
    await settled();
    thread.say({ type: 'progress', id: 1, bytes: 80, fetched: 0 });
    await expect(move).rejects.toBe(full);
  });
});
