// Owns what the commands share: reading their input, and the AI that their options describe. Called by the commands.
// Surprise: progress is only drawn on a terminal, or with --verbose one line at the end.
import { readFile } from 'node:fs/promises';
import { type AI, type AIOptions, createAI } from '../ai.ts';
import type { Compute, KvFormat } from '../abi/calls.ts';
import type { VariantName } from '../abi/variants.ts';
import { badRequest } from '../errors.ts';
import type { ProgressCallback } from '../weights/progress.ts';
import { type Given, UsageError } from './arguments.ts';

/** The text of a file, or of standard input for "-". */
export async function readText(file: string): Promise<string> {
  if (file === '-') {
    const pieces: Buffer[] = [];
    for await (const piece of process.stdin) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString('utf8');
  }
  return await readFile(file, 'utf8').catch((error: Error) => {
    throw badRequest('io_error', `${file} cannot be read: ${error.message}`, null, error);
  });
}

/** Whether things may be said about the run itself. */
export function talkative(given: Given): boolean {
  return given.flag('verbose') || process.stderr.isTTY === true;
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The AI of --model and the engine's options. */
export function aiOf(given: Given, more: AIOptions = {}): AI {
  const model = given.text('model');
  const threads = given.number('threads');
  const context = given.number('context');
  const variant = given.text('variant');
  const compute = given.text('compute');
  const kv = given.text('kv');
  return createAI({
    models: 'any',
    ...(model !== undefined && { model }),
    ...(threads !== undefined && { threads }),
    ...(context !== undefined && { context }),
    ...(variant !== undefined && { variant: variant as VariantName }),
    ...(compute !== undefined && { compute: compute as Compute }),
    ...(given.flag('no-revectorise') && { revectorise: false }),
    ...(given.flag('no-prefix-cache') && { prefixCache: false }),
    ...(kv !== undefined && { kv: kv as KvFormat }),
    ...(given.flag('no-guess') && { guess: false }),
    ...(talkative(given) && { onProgress: progressLine() }),
    ...more,
  });
}

/** What --adapter NAME=FROM names; throws a UsageError. */
export function adaptersIn(given: Given): { name: string; from: string }[] {
  return given.texts('adapter').map((text) => {
    const [, name, from] = /^([^=]+)=(.+)$/.exec(text) ?? [];
    if (name === undefined || from === undefined)
      throw new UsageError(`--adapter must be NAME=FOLDER or NAME=URL, got ${text}`);
    return { name, from };
  });
}

export const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** "45 s", "3 min 20 s", "2 h 5 min" */
export function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Draws a line of a terminal anew: the first of `ways` that it is wide enough for, else the last one's beginning. */
export function drawLine(...ways: [string, ...string[]]): void {
  const width = (process.stderr.columns || 80) - 1; // a line that is full may wrap
  const text = ways.find(({ length }) => length <= width) ?? (ways.at(-1) as string);
  process.stderr.write(`\r${text.slice(0, width)}\x1b[K`);
}

/** Draws the loading of weights, at most ten times a second. */
export function progressLine(): ProgressCallback {
  const start = performance.now();
  let drawn = 0;
  let said = false;
  return (bytes, total, { fetched, bytesPerSecond, secondsLeft }) => {
    if (said) return;
    const now = performance.now();
    const last = bytes === total;
    said = last;
    if (process.stderr.isTTY && (last || now - drawn > 100)) {
      drawn = now;
      const cells = Math.round((24 * bytes) / total);
      const bar = ` [${'#'.repeat(cells).padEnd(24, '.')}]`;
      const rate =
        fetched > 0 && secondsLeft !== null
          ? `, ${mib(bytesPerSecond)} MiB/s, ${duration(secondsLeft)} left`
          : '';
      const size = `${mib(bytes)} of ${mib(total)} MiB`;
      drawLine(`loading${bar} ${size}${rate}`, `loading ${size}${rate}`, `loading ${size}`);
      if (last) drawLine('');
    }
    if (last) say(`loaded ${mib(total)} MiB in ${((now - start) / 1000).toFixed(1)} s`);
  };
}
