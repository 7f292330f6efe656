// Owns finding what killed conversions to the same folder left beside it, and whose it was. Called by converter.ts.
// Surprise: a process is told from a live one by its number only at the same home (process.ts); whatever comes from
// elsewhere is named to the user, never removed.
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { processHome, processLives } from '../process.ts';

/** The beginning of a tag that names this process: OUT.partial-HOME-PID-RANDOM. */
export async function ownerTag(): Promise<string> {
  return `${await processHome()}-${process.pid}`;
}

/** We have created nothing yet: what has our number is of an earlier process. */
const lives = (pid: number): boolean => pid !== process.pid && processLives(pid);

export interface Leftovers {
  /** Removed: their processes have ended. */
  removed: string[];
  /** Left alone: nobody here knows whether their processes live. */
  unknown: string[];
}

/** Removes OUT.KIND-* of processes that have ended. */
export async function removeLeftovers(out: string, kind: 'partial' | 'old'): Promise<Leftovers> {
  const home = await processHome();
  const found: Leftovers = { removed: [], unknown: [] };
  const start = `${basename(out)}.${kind}-`;
  for (const name of readdirSync(dirname(out))) {
    if (!name.startsWith(start)) continue;
    const tag = /^(?:([0-9a-f]{8})-(\d+)-)?[0-9a-f]{8}$/.exec(name.slice(start.length));
    if (!tag) continue; // somebody else's name
    const path = join(dirname(out), name);
    if (tag[1] !== home) found.unknown.push(path);
    else if (!lives(Number(tag[2]))) {
      rmSync(path, { recursive: true, force: true });
      found.removed.push(path);
    }
  }
  return found;
}
