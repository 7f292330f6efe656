// Owns what the suites of this folder use: what set_up.mjs has found, running a program, and the comparison with this
// Node's answers, which also leaves the row for the table. Surprise: a row is written piece by piece, so that the table
// shows what was right before something failed, and why the rest is missing.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';

export const root = join(import.meta.dirname, '../..');
const place = join(root, 'build/runtimes');

interface Answer {
  text: string;
  finish: string;
  tokens: number[];
  chunks?: number;
}
export type Answers = Record<string, Answer>;
/** What a program inside a runtime tells. */
export interface Told {
  answers: Answers;
  variant: string;
  threads: number;
}

interface Found {
  project: string;
  tarball: string;
  bytes: number;
  unpacked: number;
  picture: string;
  expected: Answers;
  runtimes: Record<string, { path: string; version: string; error?: string }>;
}
export const found = JSON.parse(readFileSync(join(place, 'found.json'), 'utf8')) as Found;

/** The picture that is asked about, as a data URL. */
export const picture = `data:image/png;base64,${readFileSync(found.picture).toString('base64')}`;

/** A runtime's program and version; throws why it could not be installed. */
export function runtime(name: string): { path: string; version: string } {
  const one = found.runtimes[name];
  if (!one) throw new Error(`fetch.mjs knows no runtime ${name}`);
  if (one.error) throw new Error(`${name} could not be installed: ${one.error}`);
  return one;
}

/** Its name and version, for the table, which also names those that could not be installed. */
export function titled(name: string, shown = name): string {
  return `${shown} (${found.runtimes[name]?.version ?? 'not installed'})`;
}

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** Runs a program to its end, which has to come within `seconds`: one that hangs is killed and has no code. */
export function program(
  command: string,
  words: readonly string[],
  { cwd = found.project, env = {}, seconds = 240 } = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, {
      cwd,
      env: { ...process.env, DENO_NO_UPDATE_CHECK: '1', NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 1000 * seconds,
      killSignal: 'SIGKILL',
    });
    const ended: Ended = { code: null, out: '', err: '' };
    child.stdout.on('data', (bytes) => (ended.out += bytes));
    child.stderr.on('data', (bytes) => (ended.err += bytes));
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...ended, code }));
  });
}

/** What ask.mjs prints in a runtime, after a good end. */
export async function asked(
  command: string,
  words: readonly string[],
  options: object,
): Promise<Told> {
  const ended = await program(command, [...words, found.picture, JSON.stringify(options)]);
  expect({ code: ended.code, err: ended.err }).toEqual({ code: 0, err: '' });
  return JSON.parse(ended.out) as Told;
}

/**
 * Asks a runtime with `ask`; every answer has to equal this Node's, to the bit, and the build has to be `like`. The row of
 * the table says which did, and what the runtime itself said when it gave none.
 */
export async function expectSame(
  row: { runtime: string; how: string },
  ask: () => Promise<Told>,
  like: object = {},
): Promise<Told> {
  const same: Record<string, boolean> = {};
  const file = join(place, 'rows', `${row.runtime} ${row.how}.json`.replace(/[^\w.-]+/g, '_'));
  const order = Date.now();
  const write = (build: string, error?: string): void =>
    writeFileSync(file, JSON.stringify({ ...row, order, build, same, error }));
  const told = await Promise.resolve()
    .then(ask)
    .catch((error: unknown) => {
      write('', String(error instanceof Error ? error.message : error).slice(0, 500));
      throw error;
    });
  const build = `${told.variant}, ${told.threads}`;
  write(build);
  expect(told).toMatchObject(like);
  expect(Object.keys(told.answers)).toEqual(Object.keys(found.expected));
  for (const [name, answer] of Object.entries(told.answers)) {
    expect(answer, name).toEqual(found.expected[name]);
    // A streamed answer came in pieces, and said something.
    if (name.endsWith('streamed')) expect(answer.chunks, name).toBeGreaterThan(3);
    expect(answer.tokens.length, name).toBeGreaterThan(5);
    same[name] = true;
    write(build);
  }
  return told;
}
