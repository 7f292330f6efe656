// Owns which shard is placed next: the tokenizer first, then what an open request needs, then the rest, each in the
// order of the container. Called by place.ts. Surprise: the container's own order has the vision tower before the
// decoder, so a text prompt would wait for weights that it never uses.
import type { ShardInfo } from './source.ts';

/**
 * Which of `left` (shard numbers) comes next; `vision`: whether a request with an image is waiting; `textOnly`: whether
 * shards that text does not need have to wait.
 */
export function nextShard(
  shards: readonly ShardInfo[],
  left: Iterable<number>,
  vision: boolean,
  textOnly = false,
): number | undefined {
  let best: number | undefined;
  let bestRank = Infinity;
  for (const index of left) {
    const rank = rankOf(shards[index]?.holds ?? [], vision);
    if (textOnly && rank === lastRank) continue;
    if (rank < bestRank || (rank === bestRank && index < (best ?? Infinity))) {
      best = index;
      bestRank = rank;
    }
  }
  return best;
}

/** The vision tower's, while no image waits. */
const lastRank = 3;

/** A shard may hold the end of one thing and the beginning of another: it counts as the more urgent. */
function rankOf(holds: readonly string[], vision: boolean): number {
  if (holds.includes('tokenizer')) return 0;
  const seeing = holds.includes('vision');
  const reading = holds.some((name) => name !== 'vision');
  if (seeing && vision) return 1;
  return reading ? 2 : lastRank;
}
