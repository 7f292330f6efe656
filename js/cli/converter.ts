// Owns running the C++ converter as a WASI program, so that users need no compiler. Called by convert.ts and synth.ts.
// Surprise: it runs in a worker thread, since a program that computes in the main one could not be interrupted; when it
// is, what it has written so far is removed.
import { existsSync } from 'node:fs';
import { readdir, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { OcelliError } from '../errors.ts';
import { makeFolder } from '../folders.ts';
import { packageRoot } from '../host.ts';
import type { Command, Given } from './arguments.ts';
import { say } from './io.ts';
import { ownerTag, removeLeftovers } from './leftovers.ts';
import { stopStatus } from './stop.ts';

const program = 'build/wasm/convert.wasm';

/** What the thread is told. */
export interface ConverterJob {
  url: string;
  args: string[];
  /** Folders that the program sees, at their own paths. */
  folders: string[];
}

/** The real path of what the user named, to be read. */
export async function readable(name: string): Promise<string> {
  return await realpath(resolve(name)).catch((error: Error) => {
    throw new OcelliError(500, 'io_error', `${name} cannot be read: ${error.message}`);
  });
}

/** The options as they were given, spelled one way. */
export function flagsOf(command: Command | undefined, given: Given): string[] {
  return Object.entries(command?.options ?? {}).flatMap(([name, { kind }]) => {
    if (kind === 'flag') return given.flag(name) ? [`--${name}`] : [];
    const value = given.text(name);
    return value === undefined ? [] : [`--${name}`, value];
  });
}

/** Runs the converter with `before`, the folder `outName` and `flags`; resolves to its exit status. */
export async function runConverter(
  before: string[],
  outName: string,
  flags: string[],
  readFolders: string[],
): Promise<number> {
  const url = new URL(program, packageRoot);
  if (!existsSync(url)) {
    throw new OcelliError(500, 'io_error', `${program} is not built; run \`npm run build\` first`);
  }
  const out = resolve(outName);
  await makeFolder(dirname(out));
  const parent = await realpath(dirname(out));
  const target = join(parent, basename(out));
  const job: ConverterJob = {
    url: url.href,
    args: ['ocelli convert', ...before, target, '--owner', await ownerTag(), ...flags],
    folders: [...readFolders, parent],
  };
  await tidy(target, 'partial');
  // Optimised code of Node 20 calls its WASI functions directly and then crashes once the program's memory has grown.
  setFlagsFromString('--no-turbo-fast-api-calls');
  const ended = await untilEnd(job);
  // A replaced container that was not removed any more: only now is there another one for sure.
  if (ended === 0) await tidy(target, 'old');
  if (typeof ended === 'number') return ended;
  const own = `${basename(out)}.partial-${await ownerTag()}-`;
  for (const entry of await readdir(parent)) {
    if (entry.startsWith(own)) await rm(join(parent, entry), { recursive: true, force: true });
  }
  say('\nocelli: stopped');
  return stopStatus(ended);
}

async function tidy(target: string, kind: 'partial' | 'old'): Promise<void> {
  const { removed, unknown } = await removeLeftovers(target, kind);
  for (const path of removed) say(`removed ${path}, left by a conversion that was killed`);
  for (const path of unknown)
    say(`${path} is of a conversion elsewhere, or of one before a restart; remove it if none runs`);
}

/** The program's exit status, or the signal that ended it. */
function untilEnd(job: ConverterJob): Promise<number | 'SIGINT' | 'SIGTERM'> {
  return new Promise((accept, reject) => {
    const worker = new Worker(new URL('./converter_thread.js', import.meta.url), {
      workerData: job,
      execArgv: [],
    });
    let stopping: 'SIGINT' | 'SIGTERM' | undefined;
    const stop = (signal: 'SIGINT' | 'SIGTERM'): void => {
      stopping = signal;
      void worker.terminate();
    };
    const onInterrupt = (): void => stop('SIGINT');
    const onTerminate = (): void => stop('SIGTERM');
    const finish = (end: () => void): void => {
      process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate);
      end();
    };
    process.on('SIGINT', onInterrupt).on('SIGTERM', onTerminate);
    worker.on('message', (status: number) => finish(() => accept(status)));
    worker.on('error', (error) => finish(() => reject(error)));
    worker.on('exit', () =>
      finish(() => (stopping ? accept(stopping) : reject(new Error('the converter just ended')))),
    );
  });
}
