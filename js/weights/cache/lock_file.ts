// Owns locks between processes: a file that only one of them can create, which names its owner. Called by fs.ts. Surprise:
// an owner may be killed, so a lock is taken over when its process has ended, or has not touched the file for long; should
// two ever hold one, both write the same bytes, and the hash finds out if they do not.
import { nodeModule, pause } from '../../host.ts';
import { processHome, processLives } from '../../process.ts';
import type { LockOptions, Release } from './store.ts';

/** How often an owner touches its lock. */
const beatMs = 2000;
/**
 * After which silence it is taken over: from an owner elsewhere (nobody can ask whether it lives), from a process that
 * lives, from a thread of this process, which may have been ended.
 */
const silenceMs = 30_000;
const silenceHereMs = 60_000;
const silenceOwnMs = 8000;
/** A lock without an owner's name: killed between creating and writing it, a moment ago or long ago. */
const namelessMs = 5000;

interface Owner {
  home: string;
  pid: number;
  token: string;
}

export async function fileLock(
  path: string,
  { wait = true, signal }: LockOptions = {},
): Promise<Release | null> {
  const files = await nodeModule('node:fs/promises');
  const owner: Owner = {
    home: await processHome(),
    pid: process.pid,
    token: [...crypto.getRandomValues(new Uint32Array(2))].map((n) => n.toString(16)).join(''),
  };
  const text = JSON.stringify(owner);
  for (let ms = 20; ; ms = Math.min(250, ms * 1.5)) {
    signal?.throwIfAborted();
    try {
      await files.writeFile(path, text, { flag: 'wx' });
      return holding(files, path, text);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const stale = await staleText(files, path, owner.home);
    if (stale !== null && (await takeAway(files, path, stale, owner.token))) continue;
    if (!wait) return null;
    await pause(ms);
  }
}

type Files = typeof import('node:fs/promises');

function holding(files: Files, path: string, text: string): Release {
  const beat = setInterval(() => {
    const now = new Date();
    files.utimes(path, now, now).catch(() => undefined);
  }, beatMs);
  beat.unref();
  return async () => {
    clearInterval(beat);
    const now = await files.readFile(path, 'utf8').catch(() => '');
    if (now === text) await files.unlink(path).catch(() => undefined);
  };
}

/** What stands in the lock when its owner is gone; null when it lives, or the lock has just been released. */
async function staleText(files: Files, path: string, home: string): Promise<string | null> {
  try {
    const [text, { mtimeMs }] = await Promise.all([files.readFile(path, 'utf8'), files.stat(path)]);
    const silent = Date.now() - mtimeMs;
    let owner: Owner | null = null;
    try {
      owner = JSON.parse(text) as Owner;
    } catch {
      return silent > namelessMs ? text : null;
    }
    if (owner.home !== home) return silent > silenceMs ? text : null;
    const patience = owner.pid === process.pid ? silenceOwnMs : silenceHereMs;
    return !processLives(owner.pid) || silent > patience ? text : null;
  } catch {
    return null;
  }
}

/** Removes the stale lock, and only that one: another process may have done the same, and hold it by now. */
async function takeAway(
  files: Files,
  path: string,
  stale: string,
  token: string,
): Promise<boolean> {
  const aside = `${path}.${token}`;
  try {
    await files.rename(path, aside);
  } catch {
    return false;
  }
  const moved = await files.readFile(aside, 'utf8').catch(() => stale);
  if (moved !== stale) await files.link(aside, path).catch(() => undefined);
  await files.unlink(aside).catch(() => undefined);
  return true;
}
