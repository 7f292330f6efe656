// Owns measuring what opening and closing an engine leaves behind. Run by hand, and by tests/js/leaks.test.ts with fewer
// cycles.  node tests/bench/life.mjs [--cycles 200] [--node PATH] [--variants mt-simd128,st-simd128] [--chromium]
// Surprise: growth counts from the fifth cycle: the first ones load code and fill caches that stay.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { endWith, isMain, root, say } from '../../tools/setup/io.mjs';
import { isolation, serveFiles } from '../browser/browser.mjs';
import { openAndCloseInTab } from '../browser/counts.mjs';
import { driveChromium } from '../browser/driver.mjs';
import { table } from './figures.mjs';

/** What one engine may be opened with: [name, options of createAI]. */
export function waysOf(variants) {
  return variants.flatMap((variant) =>
    ['worker', 'inline'].map((thread) => ({
      name: `${variant}, ${thread}`,
      options: { variant, thread, threads: variant.startsWith('mt') ? 2 : 1, cache: 'none' },
    })),
  );
}

/** The counts after some cycles, in a process of its own; the first ones before anything was opened. */
export async function openAndClose(cycles, options, node = process.execPath) {
  const entry = pathToFileURL(join(root, 'build/js/index.js')).href;
  const words = ['--expose-gc', join(import.meta.dirname, 'life_run.mjs')];
  const child = spawn(node, [...words, JSON.stringify({ cycles, package: entry, options })], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (bytes) => (out += bytes));
  child.stderr.on('data', (bytes) => (err += bytes));
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`it ended with ${code}: ${err}`);
  return JSON.parse(out);
}

/** How much each count has grown since the fifth cycle. */
export function growth(samples) {
  const from = samples.find(({ cycle }) => cycle === 5);
  const to = samples.at(-1);
  return Object.fromEntries(Object.keys(to).map((name) => [name, to[name] - from[name]]));
}

function show(name, samples) {
  const shown = samples.filter(({ cycle }, n, { length }) => {
    return cycle <= 5 || n % Math.ceil(length / 5) === 0 || n === length - 1;
  });
  const columns = Object.keys(samples[0]);
  const rows = [...shown, { ...growth(samples), cycle: 'growth' }].map((row) =>
    columns.map((column) =>
      typeof row[column] === 'number' && !Number.isInteger(row[column])
        ? row[column].toFixed(1)
        : String(row[column]),
    ),
  );
  say(`${name}\n${table(columns, rows)}\n`);
}

/** The same in Chromium's tabs: in pages that may share memory and others, in a worker and in the page's own thread. */
async function inChromium(cycles) {
  const roots = { '/node_modules/ocelli/': root, '/pages/': join(root, 'tests/runtimes/pages') };
  const browser = await driveChromium();
  try {
    for (const [name, headers] of Object.entries({ 'isolated page': isolation, page: {} })) {
      const server = await serveFiles({ roots, with: headers });
      for (const thread of ['worker', 'inline']) {
        const tab = await browser.tab(`${server.origin}/pages/life.html`);
        show(`${name}, ${thread}`, await openAndCloseInTab(browser, tab, cycles, { thread }, 6));
        await tab.close();
      }
      server.close();
    }
  } finally {
    await browser.close();
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string' },
      node: { type: 'string' },
      variants: { type: 'string' },
      chromium: { type: 'boolean' },
    },
  });
  const cycles = Number(values.cycles ?? 200);
  if (values.chromium) return await inChromium(cycles);
  const variants = (values.variants ?? 'mt-simd128,st-simd128').split(',');
  for (const { name, options } of waysOf(variants)) {
    const samples = await openAndClose(cycles, options, values.node);
    show(name, samples);
  }
}

if (isMain(import.meta.url)) await main().catch(endWith);
