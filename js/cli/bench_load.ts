// Owns the measure that loading is held against: the same bytes read and hashed one after the other, and nothing else.
// Called by bench.ts. Surprise: it comes after the load, so that both find the files in the page cache; the first load
// of files that are not there yet is slower than any ratio to this.
import { anyHash } from '../weights/hash.ts';
import { type Manifest, pieceBytes, type ShardSource } from '../weights/source.ts';

/** Milliseconds, or null where the source cannot be read piece by piece. */
export async function readAndHash(
  source: ShardSource,
  { shards }: Manifest,
): Promise<number | null> {
  const makeHash = await anyHash();
  if (!source.open) return null;
  const piece = new Uint8Array(pieceBytes);
  const start = performance.now();
  for (const [index, info] of shards.entries()) {
    const reader = await source.open(index, info);
    const hash = makeHash(info.bytes);
    for (let count; (count = await reader.read(piece)) > 0; ) hash.update(piece.subarray(0, count));
    await reader.close();
    if ((await hash.hex()) !== info.sha256) throw new Error(`shard ${info.sha256} has changed`);
  }
  return performance.now() - start;
}
