// Owns bringing shards into the core: which comes next, where it goes, when it is committed. Called by thread/engine.ts
// and the command. Surprise: the bytes may be moved and hashed by another thread (loader.ts), and the next shard is asked
// for before the one at hand is whole, so that nobody waits for a server or a disk to answer.
import type { Calls } from '../abi/calls.ts';
import { OcelliError } from '../errors.ts';
import { platformHash } from './hash.ts';
import { moveShard } from './move.ts';
import { nextShard } from './order.ts';
import { type Manifest, type ShardInfo, shardFile, type ShardSource } from './source.ts';

/** Bytes placed so far, of all that are wanted. */
export type ProgressCallback = (bytes: number, total: number) => void;

/** A shard on its way to its place in the core's memory. */
export interface Moving {
  index: number;
  info: ShardInfo;
  address: number;
  bytes: number;
  /** To be told how many bytes are there. */
  progress: (bytes: number) => void;
  signal?: AbortSignal | undefined;
}

/** Moves a shard; resolves to its sha256 in hex, or null when the core is to hash what progress() has told. */
export type Mover = (shard: Moving) => Promise<string | null>;

export interface PlaceOptions {
  progress?: ProgressCallback | undefined;
  /** Which shards are placed; all by default. */
  wanted?: ((info: ShardInfo) => boolean) | undefined;
  /** Whether a request with an image is waiting: then the vision tower goes before the decoder. */
  vision?: () => boolean;
  /** Told after each commit. */
  placed?: (index: number) => void;
  /** Ends it: rejects with the signal's reason, and touches the core no more. */
  signal?: AbortSignal;
}

/** Moves shards in this thread. */
export function moverHere(calls: Calls, source: ShardSource): Mover {
  return async ({ index, info, address, bytes, progress, signal }) => {
    const hash = (await platformHash())?.() ?? null;
    const room = {
      bytes,
      view: (offset: number, length: number) => calls.shared(address + offset, length),
      write: (offset: number, piece: Uint8Array) => calls.write(address + offset, piece),
    };
    await moveShard(source, index, info, room, { hash, progress, signal });
    return hash?.hex() ?? null;
  };
}

/** How much of a shard has come when the next one is asked for. */
const askAhead = 0.75;

/** Places the wanted shards, the most urgent first. */
export async function placeShards(
  calls: Calls,
  engine: number,
  { shards }: Manifest,
  move: Mover,
  { progress, wanted = () => true, vision = () => false, placed, signal }: PlaceOptions = {},
): Promise<void> {
  const left = new Set(shards.keys());
  for (const [index, info] of shards.entries()) if (!wanted(info)) left.delete(index);
  const total = [...left].reduce((sum, index) => sum + (shards[index]?.bytes ?? 0), 0);
  const hashes = (await platformHash()) === null;
  let come = 0;

  interface Started extends Moving {
    moved: Promise<string | null>;
  }
  // Whatever ends this ends the shard that is being moved ahead, too.
  const ending = new AbortController();
  const abort = (): void => ending.abort(signal?.reason);
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();

  let current: Started | undefined;
  let ahead: Started | undefined;
  const start = (): Started | undefined => {
    ending.signal.throwIfAborted();
    const index = nextShard(shards, left, vision());
    const info = index === undefined ? undefined : shards[index];
    if (index === undefined || !info) return undefined;
    left.delete(index);
    const { address, bytes } = calls.shardReserve(engine, index);
    let there = 0;
    const told = (now: number): void => {
      if (ending.signal.aborted) return;
      come += now - there;
      there = now;
      if (hashes) calls.shardHash(engine, index, now);
      progress?.(come, total);
      if (now >= bytes * askAhead && current?.index === index) ahead ??= start();
    };
    const moving: Moving = { index, info, address, bytes, progress: told, signal: ending.signal };
    const moved = move(moving);
    moved.catch(() => undefined); // reported when it is this shard's turn
    return { ...moving, moved };
  };

  try {
    for (current = start(); current; current = ahead ?? start(), ahead = undefined) {
      const sha256 = await current.moved;
      ending.signal.throwIfAborted();
      commit(calls, engine, current, sha256);
      placed?.(current.index);
    }
  } catch (error) {
    ending.abort(error);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

function commit(
  calls: Calls,
  engine: number,
  { index, info }: Moving,
  sha256: string | null,
): void {
  try {
    if (sha256 !== null) calls.shardDigest(engine, index, sha256);
    calls.shardCommit(engine, index);
  } catch (error) {
    if (!(error instanceof OcelliError) || error.code === 'engine_crashed') throw error;
    const message = `shard ${shardFile(info)}: ${error.message}`;
    throw new OcelliError(error.status, error.code, message, error.param, error);
  }
}
