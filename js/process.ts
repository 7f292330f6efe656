// Owns telling this process from others, and living ones from dead ones. Called by the cache's lock files and by the
// converter's clean-up. Surprise: a process number means something only on the same boot of the same machine and among the
// same numbers (a container has its own), which is what a home stands for.
import { nodeModule } from './host.ts';

let home: Promise<string> | undefined;

/** Where process numbers mean what they mean here: eight hexadecimal digits. */
export function processHome(): Promise<string> {
  return (home ??= findHome());
}

async function findHome(): Promise<string> {
  const { readFile, readlink } = await nodeModule('node:fs/promises');
  const { hostname } = await nodeModule('node:os');
  const { createHash } = await nodeModule('node:crypto');
  const none = (): string => ''; // not Linux
  const marks = [
    hostname(),
    await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(none),
    await readlink('/proc/self/ns/pid').catch(none),
  ];
  return createHash('sha256').update(marks.join('\n')).digest('hex').slice(0, 8);
}

/** Whether a process of this home lives. */
export function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
