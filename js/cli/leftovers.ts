// Owns finding what killed conversions to the same folder left beside it, and whose it was. Called by converter.ts.
// Surprise: a process is told from a live one by its number only on the same boot of the same machine and among the same
// numbers (a container has its own); whatever comes from elsewhere is named to the user, never removed.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** Where process numbers mean what they mean here: eight hexadecimal digits. */
function home(): string {
  const read = (what: () => string): string => {
    try {
      return what();
    } catch {
      return ''; // not Linux
    }
  };
  const marks = [
    hostname(),
    read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    read(() => readlinkSync('/proc/self/ns/pid')),
  ];
  return createHash('sha256').update(marks.join('\n')).digest('hex').slice(0, 8);
}

/** The beginning of a tag that names this process: OUT.partial-HOME-PID-RANDOM. */
export function ownerTag(): string {
  return `${home()}-${process.pid}`;
}

function lives(pid: number): boolean {
  // We have created nothing yet: what has our number is of an earlier process.
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

export interface Leftovers {
  /** Removed: their processes have ended. */
  removed: string[];
  /** Left alone: nobody here knows whether their processes live. */
  unknown: string[];
}

/** Removes OUT.KIND-* of processes that have ended. */
export function removeLeftovers(out: string, kind: 'partial' | 'old'): Leftovers {
  const found: Leftovers = { removed: [], unknown: [] };
  const start = `${basename(out)}.${kind}-`;
  for (const name of readdirSync(dirname(out))) {
    if (!name.startsWith(start)) continue;
    const tag = /^(?:([0-9a-f]{8})-(\d+)-)?[0-9a-f]{8}$/.exec(name.slice(start.length));
    if (!tag) continue; // somebody else's name
    const path = join(dirname(out), name);
    if (tag[1] !== home()) found.unknown.push(path);
    else if (!lives(Number(tag[2]))) {
      rmSync(path, { recursive: true, force: true });
      found.removed.push(path);
    }
  }
  return found;
}
