// Owns what happens when a shard's bytes have come: the hash holds and they are kept, or they are thrown away and fetched
// again. Called by place.ts (the core is the judge) and pull.ts. Surprise: whether fetching again makes sense is the
// source's to say, which knows where they came from and how often that failed.
import { OcelliError } from '../errors.ts';

/** Told whether a shard's bytes were right; resolves to whether to ask for them again. */
export type Settle = (good: boolean) => Promise<boolean>;

/** Codes that mean: these bytes are not the ones of the manifest. */
const bad: readonly string[] = ['shard_hash_mismatch', 'invalid_shard'];

/** Bytes that turn out to be useless before they are all there. */
export class DamagedShard extends OcelliError {
  constructor(file: string, reason: string) {
    super(500, 'invalid_shard', `shard ${file}: ${reason}`, file);
  }
}

/** Repeats `attempt` until its shard is right; `kept`: told when it is. */
export async function untilRight(
  settle: Settle,
  attempt: () => Promise<void>,
  kept: (saved: Promise<unknown>) => void,
): Promise<void> {
  for (;;) {
    try {
      await attempt();
      return kept(settle(true));
    } catch (error) {
      const wrong = error instanceof OcelliError && bad.includes(error.code);
      if (!(wrong && (await settle(false)))) throw error;
    }
  }
}
