// Owns moving one shard's bytes from its source to memory, and hashing them on the way. Called by place.ts (into the
// core through its calls) and by loader_entry.ts (into shared memory). Surprise: while a piece is hashed the next one is
// being read, straight to its place where that is shared; elsewhere through two small buffers, since growing the
// module's memory would detach what is being read into.
import { OcelliError } from '../errors.ts';
import { giveWay } from '../host.ts';
import type { ShardHash } from './hash.ts';
import {
  pieceBytes,
  type ShardInfo,
  type ShardReader,
  shardFile,
  type ShardSource,
} from './source.ts';

/** Where one shard goes. */
export interface Room {
  bytes: number;
  /** The memory there, to read into directly; or null. */
  view(offset: number, length: number): Uint8Array | null;
  write(offset: number, piece: Uint8Array): void;
}

export interface MoveOptions {
  hash: ShardHash | null;
  /** Told after each piece how many bytes are there, and how many of them came over a network. */
  progress: (bytes: number, fetched: number) => void;
  /** Ends it: rejects with the signal's reason and touches `room` no more. */
  signal?: AbortSignal | undefined;
}

type Data = Uint8Array | ReadableStream<Uint8Array> | ShardReader;

/** Moves a shard; rejects when it cannot be read, or is not as long as the manifest says. */
export async function moveShard(
  source: ShardSource,
  index: number,
  info: ShardInfo,
  room: Room,
  options: MoveOptions,
): Promise<void> {
  const { signal } = options;
  const named = (error: unknown): never => {
    signal?.throwIfAborted();
    throw unreadable(info, error);
  };
  const asked: Promise<Data> = source.open
    ? source.open(index, info, signal)
    : source.shard(index, info, signal);
  const data = await unlessAborted(asked.catch(named), signal).catch((error: unknown) => {
    void asked.then(letGo, () => undefined);
    throw error;
  });
  const at = new Position(info, room, options);
  let rested = 0;
  try {
    for await (const bytes of pieces(data, at, signal, named)) {
      options.progress(bytes, 'fetched' in data ? (data.fetched ?? 0) : 0);
      if (bytes - rested < pieceBytes) continue;
      rested = bytes;
      await giveWay(); // pieces may all be there already, and others want their turn
    }
    signal?.throwIfAborted();
    at.end();
  } finally {
    await letGo(data);
  }
}

/** `work`, or the signal's reason when that comes first. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await work;
  signal.throwIfAborted();
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => (stop = () => reject(signal.reason)));
  signal.addEventListener('abort', stop);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function unreadable(info: ShardInfo, error: unknown): OcelliError {
  if (error instanceof OcelliError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const message = `shard ${shardFile(info)} cannot be read: ${reason}`;
  return new OcelliError(500, 'io_error', message, null, error);
}

/** How far a shard has come. */
class Position {
  bytes = 0;
  readonly #info: ShardInfo;
  readonly #room: Room;
  readonly #options: MoveOptions;

  constructor(info: ShardInfo, room: Room, options: MoveOptions) {
    this.#info = info;
    this.#room = room;
    this.#options = options;
  }

  /** Where the piece at `offset` can be read into directly, empty at the end; or null. */
  view(offset: number): Uint8Array | null {
    return this.#room.view(offset, Math.min(pieceBytes, this.#room.bytes - offset));
  }

  /** Takes a piece over; `there`: it lies in its place already. */
  take(piece: Uint8Array, there: boolean): number {
    this.#options.signal?.throwIfAborted();
    if (this.bytes + piece.length > this.#room.bytes) throw this.#wrong('more than ');
    if (!there) this.#room.write(this.bytes, piece);
    this.#options.hash?.update(piece);
    return (this.bytes += piece.length);
  }

  end(): void {
    if (this.bytes !== this.#room.bytes) throw this.#wrong('');
  }

  #wrong(more: string): OcelliError {
    const { bytes: want } = this.#room;
    const have = more ? `${more}${want}` : String(this.bytes);
    const message = `shard ${shardFile(this.#info)} has ${have} bytes, the manifest says ${want}`;
    return new OcelliError(500, 'invalid_shard', message);
  }
}

/** Moves all of `data`, piece by piece; yields how much has come. */
async function* pieces(
  data: Data,
  at: Position,
  signal: AbortSignal | undefined,
  named: (error: unknown) => never,
): AsyncGenerator<number> {
  if (data instanceof Uint8Array) {
    for (let from = 0; from < data.length; from += pieceBytes)
      yield at.take(data.subarray(from, from + pieceBytes), false);
  } else if ('getReader' in data) {
    const reader = data.getReader();
    const stop = (): void => void reader.cancel().catch(() => undefined);
    signal?.addEventListener('abort', stop);
    try {
      for (;;) {
        const piece = await reader.read().catch(named);
        if (piece.done) return;
        yield at.take(piece.value, false);
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      reader.releaseLock();
    }
  } else yield* read(data, at, named);
}

async function* read(
  data: ShardReader,
  at: Position,
  named: (error: unknown) => never,
): AsyncGenerator<number> {
  const buffers: (Uint8Array | undefined)[] = [];
  let turn = 0;
  let offset = 0;
  const begin = (): { into: Uint8Array; there: boolean; got: Promise<number> } => {
    const view = at.view(offset);
    const there = view !== null && view.length > 0;
    // Behind the end one byte is asked for: that tells a file that is too long.
    const into = there
      ? view
      : view
        ? new Uint8Array(1)
        : (buffers[turn] ??= new Uint8Array(pieceBytes));
    turn = 1 - turn;
    const got = data.read(into).catch(named);
    got.catch(() => undefined); // awaited one piece later
    return { into, there, got };
  };
  for (let next = begin(); ; ) {
    const { into, there, got } = next;
    const count = await got;
    if (count === 0) return;
    offset += count;
    next = begin();
    yield at.take(into.subarray(0, count), there);
  }
}

async function letGo(data: Data): Promise<void> {
  if (data instanceof Uint8Array) return;
  if ('getReader' in data) await data.cancel().catch(() => undefined);
  else await data.close().catch(() => undefined);
}
