// Owns the benchmark of the whole model: runs `ocelli bench` on a container, setting after setting, and gathers its
// figures. Called by run.mjs. Surprise: without --model it makes the 3B shape with random weights first, 2.5 GB under
// build/bench, and keeps it.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from '../../tools/build.mjs';
import { SetupError, root, say } from '../../tools/setup/io.mjs';
import { short, spread, table } from './figures.mjs';

const command = join(root, 'build/js/cli/main.js');

/** What is measured: prompts, decoding in a context, pictures; then several sequences at once. One process each. */
export const settings = [
  { prompt: 128, context: 0, image: 448 },
  { prompt: 512, context: 4096, image: 896 },
  { prompt: 2048, context: 16384, image: 1344 },
  { prompt: 0, context: 0, batch: 4 },
  { prompt: 0, context: 0, batch: 8 },
];
/** A look at everything in a minute, on a small model. */
export const quickSettings = [
  { prompt: 64, context: 256, image: 112, new: 8 },
  { prompt: 0, context: 0, batch: 4, new: 8 },
];

/** What the `ocelli` command prints to stdout, in a Node with `flags`. */
export function ocelli(node, flags, words) {
  return new Promise((accept, reject) => {
    const child = spawn(node, [...flags, command, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (bytes) => (text += bytes));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) accept(text);
      else reject(new SetupError(`ocelli ${words.join(' ')} ended with status ${code}`));
    });
  });
}

/** The container of a shape, made when it is not there. */
export async function synthetic(node, shape) {
  const folder = join(root, 'build/bench', `synth-${shape}`);
  if (!existsSync(folder)) await ocelli(node, [], ['synth', '--shape', shape, folder]);
  return folder;
}

/** Every setting with every tier and number of threads, `rounds` times in turn. */
export async function benchModel({ names, tiers, threads, rounds, model, shape, node }) {
  const targets = names.map((name) => tiers[name].target);
  await build([...new Set([...targets, 'st-simd128', 'js'])]);
  const folder = model ?? (await synthetic(node, shape));
  const samples = new Map();
  const add = (key, value) => samples.set(key, [...(samples.get(key) ?? []), value]);
  const chosen = shape === 'tiny' ? quickSettings : settings;
  for (let round = 0; round < rounds; round++) {
    for (const setting of chosen) {
      for (const count of threads) {
        for (const name of round % 2 === 0 ? names : [...names].reverse()) {
          const sizes = Object.entries(setting).flatMap(([key, value]) => [`--${key}`, value]);
          say(`round ${round + 1} of ${rounds}: ${name}, ${count} threads, ${sizes.join(' ')}`);
          const { target, flags = [], options: more = [] } = tiers[name];
          const options = [
            '--variant',
            target,
            '--threads',
            count,
            '--repeat',
            1,
            '--json',
            ...more,
          ];
          const words = ['bench', '--model', folder, ...sizes, ...options].map(String);
          const figures = JSON.parse(await ocelli(node, flags, words));
          for (const [what, value] of measured(setting, figures))
            add(JSON.stringify([what, name, count]), value);
        }
      }
    }
  }
  return [...samples].map(([key, values]) => {
    const [what, tier, count] = JSON.parse(key);
    return { what, tier, threads: count, ...spread(values) };
  });
}

function measured(setting, figures) {
  const { prompt, context, batch = 1, image } = setting;
  const found = [];
  const several = batch > 1 ? `, ${batch} at once` : '';
  if (figures.prompt_tokens_per_s !== null)
    found.push([`prompt of ${prompt}${several}, tokens/s`, figures.prompt_tokens_per_s]);
  if (figures.decode_tokens_per_s !== null)
    found.push([`decode at ${context}${several}, tokens/s`, figures.decode_tokens_per_s]);
  for (const [stage, ms] of Object.entries(figures.image_ms ?? {}))
    found.push([`image ${image} px, ${stage}, ms`, ms]);
  found.push(['load, ms', figures.load_ms]);
  found.push([
    `memory after ${prompt} and ${context}${several}, MiB`,
    figures.wasm_memory_bytes / 2 ** 20,
  ]);
  return found;
}

export function modelTables(results) {
  const names = [...new Set(results.map(({ tier }) => tier))];
  return [...new Set(results.map(({ threads }) => threads))].map((threads) => {
    const here = results.filter((one) => one.threads === threads);
    const rows = [...new Set(here.map(({ what }) => what))].map((what) => [
      what,
      ...names.map((name) => {
        const one = here.find((other) => other.what === what && other.tier === name);
        return one ? `${short(one.median)} (${short(one.min)}..${short(one.max)})` : '-';
      }),
    ]);
    return table([`${threads} thread${threads === 1 ? '' : 's'}`, ...names], rows);
  });
}
