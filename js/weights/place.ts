// Owns moving shards into the core: each piece is written where ocelli_shard_reserve() said, then the shard is
// committed. Called by thread/engine.ts. Surprise: a wrong sha256 is only known at the end of a shard, and the error
// then names the file.
import type { Calls } from '../abi/calls.ts';
import { OcelliError } from '../errors.ts';
import { type Manifest, type ShardInfo, shardFile, type ShardSource } from './source.ts';

/** Bytes placed so far, of all that are wanted. */
export type ProgressCallback = (bytes: number, total: number) => void;

/** Places the shards that `wanted` accepts (all by default), in order. */
export async function placeShards(
  calls: Calls,
  engine: number,
  manifest: Manifest,
  source: ShardSource,
  progress?: ProgressCallback,
  wanted: (info: ShardInfo) => boolean = () => true,
): Promise<void> {
  const total = manifest.shards.filter(wanted).reduce((sum, info) => sum + info.bytes, 0);
  let placed = 0;
  for (const [index, info] of manifest.shards.entries()) {
    if (!wanted(info)) continue;
    const { address, bytes } = calls.shardReserve(engine, index);
    let offset = 0;
    const write = (piece: Uint8Array): void => {
      if (offset + piece.length > bytes) throw wrongLength(info, `more than ${bytes}`, bytes);
      calls.write(address + offset, piece);
      offset += piece.length;
      progress?.(placed + offset, total);
    };
    const data = await source.shard(index, info);
    if (data instanceof Uint8Array) write(data);
    else for await (const piece of piecesOf(data)) write(piece);
    if (offset !== bytes) throw wrongLength(info, String(offset), bytes);
    try {
      calls.shardCommit(engine, index);
    } catch (error) {
      if (!(error instanceof OcelliError) || error.code === 'engine_crashed') throw error;
      throw new OcelliError(
        error.status,
        error.code,
        `shard ${shardFile(info)}: ${error.message}`,
        error.param,
        error,
      );
    }
    placed += bytes;
  }
}

function wrongLength(info: ShardInfo, have: string, want: number): OcelliError {
  const message = `shard ${shardFile(info)} has ${have} bytes, the manifest says ${want}`;
  return new OcelliError(500, 'invalid_shard', message);
}

async function* piecesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        ended = true;
        return;
      }
      yield value;
    }
  } finally {
    if (!ended) await reader.cancel().catch(() => undefined);
  }
}
