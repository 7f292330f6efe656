// Owns bringing shards into the core: which comes next, where it goes, when it is committed. Called by thread/engine.ts
// and the command. Surprise: the bytes may be moved and hashed by another thread (loader.ts), and the next shard is asked
// for before the one at hand is whole, so that nobody waits for a server or a disk to answer. From a network several come
// at a time.
import type { Calls } from '../abi/calls.ts';
import { OcelliError } from '../errors.ts';
import { Aborts } from './aborts.ts';
import { platformHash } from './hash.ts';
import { moveShard } from './move.ts';
import { nextShard } from './order.ts';
import { Meter, type ProgressCallback } from './progress.ts';
import { untilRight } from './settle.ts';
import { type Manifest, type ShardInfo, shardFile, type ShardSource } from './source.ts';

/** A shard on its way to its place in the core's memory. */
export interface Moving {
  index: number;
  info: ShardInfo;
  address: number;
  bytes: number;
  /** To be told how many bytes are there, and how many of them came over a network. */
  progress: (bytes: number, fetched: number) => void;
  signal?: AbortSignal | undefined;
}

export interface Mover {
  /** Moves a shard; resolves to its sha256 in hex, or null when the core is to hash what progress() has told. */
  move(shard: Moving): Promise<string | null>;
  /** ShardSource.settle(), where the source has it. */
  settle?: ((index: number, info: ShardInfo, good: boolean) => Promise<boolean>) | undefined;
}

export interface PlaceOptions {
  progress?: ProgressCallback | undefined;
  /** Which shards are placed; all by default. */
  wanted?: ((info: ShardInfo) => boolean) | undefined;
  /** Whether a request with an image is waiting: then the vision tower goes before the decoder. */
  vision?: () => boolean;
  /** Whether what text does not need waits; `released` resolves when it no longer does. */
  held?: () => boolean;
  released?: () => Promise<void>;
  /** Told after each commit. */
  placed?: (index: number) => void;
  /** Ends it: rejects with the signal's reason, and touches the core no more. */
  signal?: AbortSignal;
  /** How many shards may be on their way at a time; 1 by default. */
  parallel?: number | undefined;
}

/** Moves shards in this thread. */
export function moverHere(calls: Calls, source: ShardSource): Mover {
  const making = platformHash();
  return {
    async move({ index, info, address, bytes, progress, signal }) {
      const hash = (await making)?.(info.bytes) ?? null;
      const room = {
        bytes,
        view: (offset: number, length: number) => calls.shared(address + offset, length),
        write: (offset: number, piece: Uint8Array) => calls.write(address + offset, piece),
      };
      await moveShard(source, index, info, room, { hash, progress, signal });
      return (await hash?.hex()) ?? null;
    },
    settle: source.settle?.bind(source),
  };
}

/** How much of a shard has come when the next one is asked for. */
const askAhead = 0.75;

/** A shard that is being placed. */
interface Active {
  index: number;
  bytes: number;
  there: number;
  /** Resolves to this, when the shard is committed. */
  done: Promise<Active>;
}

/** Places the wanted shards, the most urgent first. */
export async function placeShards(
  calls: Calls,
  engine: number,
  { shards }: Manifest,
  mover: Mover,
  options: PlaceOptions = {},
): Promise<void> {
  const { progress, wanted = () => true, vision = () => false, held = () => false } = options;
  const { placed, signal, parallel = 1 } = options;
  const chosen = new Map([...shards.entries()].filter(([, info]) => wanted(info)));
  const left = new Set(chosen.keys());
  const meter = new Meter(chosen, progress);
  const hashes = (await platformHash()) === null;

  // Whatever ends this ends the shards that are being moved, too.
  const ending = new Aborts(signal);

  const active = new Set<Active>();
  const kept: Promise<unknown>[] = [];

  const bring = async (one: Active, info: ShardInfo): Promise<Active> => {
    const { index } = one;
    const attempt = async (): Promise<void> => {
      ending.throwIfAborted();
      const { address, bytes } = calls.shardReserve(engine, index);
      meter.again(index);
      one.there = 0;
      const told = (now: number, fetched: number): void => {
        if (ending.aborted) return;
        one.there = now;
        if (hashes) calls.shardHash(engine, index, now);
        meter.moved(index, now, fetched);
        fill();
      };
      const sha256 = await ending.within((own) =>
        mover.move({ index, info, address, bytes, progress: told, signal: own }),
      );
      ending.throwIfAborted();
      commit(calls, engine, index, info, sha256);
    };
    const settle = async (good: boolean): Promise<boolean> =>
      (await mover.settle?.(index, info, good)) ?? false;
    await untilRight(settle, attempt, (saved) => {
      saved.catch(() => undefined); // awaited in the end
      kept.push(saved);
    });
    return one;
  };
  /** Starts what may be on its way: those that are nearly there make room for one more. */
  const fill = (): void => {
    for (;;) {
      const far = [...active].filter(({ there, bytes }) => there < bytes * askAhead).length;
      if (ending.aborted || far >= parallel || active.size > parallel) return;
      const index = nextShard(shards, left, vision(), held());
      const info = index === undefined ? undefined : shards[index];
      if (index === undefined || !info) return;
      left.delete(index);
      const { bytes } = info;
      const one = { index, bytes, there: 0 } as Active;
      active.add(one);
      one.done = bring(one, info);
      one.done.catch(() => undefined); // reported below
    }
  };

  try {
    ending.throwIfAborted();
    for (fill(); active.size > 0 || left.size > 0; fill()) {
      const moved = [...active].map(({ done }) => done);
      const released = left.size > 0 && held() ? options.released?.() : undefined;
      const one = await Promise.race(released ? [...moved, released] : moved);
      ending.throwIfAborted();
      if (!one) continue;
      active.delete(one);
      meter.placed(one.index);
      placed?.(one.index);
    }
    meter.tell();
    await Promise.all(kept);
  } catch (error) {
    ending.abort(error);
    throw error;
  } finally {
    ending.end();
  }
}

function commit(
  calls: Calls,
  engine: number,
  index: number,
  info: ShardInfo,
  sha256: string | null,
): void {
  try {
    if (sha256 !== null) calls.shardDigest(engine, index, sha256);
    calls.shardCommit(engine, index);
  } catch (error) {
    if (!(error instanceof OcelliError) || error.code === 'engine_crashed') throw error;
    const file = shardFile(info);
    const message = error.message.includes(file)
      ? error.message
      : `shard ${file}: ${error.message}`;
    throw new OcelliError(error.status, error.code, message, error.param, error);
  }
}
