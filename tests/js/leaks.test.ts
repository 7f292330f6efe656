// Opening, asking and closing an engine leaves nothing behind: memory, threads, files, timers. Each way in a process of its
// own (tests/bench/life_run.mjs). Surprise: bounds are far from noise and far below what one leaked thing in each of twenty
// cycles would cost: an engine has 16 MiB and more, its WebAssembly memory reserves 4 GiB of addresses or more.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root, variantNames } from './real_model.ts';

type Counts = Record<string, number>;
interface Measuring {
  waysOf(variants: readonly string[]): { name: string; options: object }[];
  openAndClose(cycles: number, options: object): Promise<Counts[]>;
  growth(samples: readonly Counts[]): Counts;
}
const { waysOf, openAndClose, growth } = (await import(
  join(root, 'tests/bench/life.mjs') as string
)) as Measuring;

/** OCELLI_LIFE_CYCLES=200 for the long run. */
const cycles = Number(process.env['OCELLI_LIFE_CYCLES'] ?? 25);

it.each(waysOf(variantNames))('$name', { timeout: 20_000 * cycles }, async ({ options }) => {
  const samples = await openAndClose(cycles, options);
  const grown = growth(samples);
  const shown = JSON.stringify(samples);
  const most = {
    threads: 0,
    files: 0,
    resources: 0,
    addresses_mib: 2048,
    rss_mib: 100,
    external_mib: 8,
    buffers_mib: 8,
    heap_mib: 4,
  };
  for (const [what, bound] of Object.entries(most))
    expect(grown[what], `${what} since the fifth cycle: ${shown}`).toBeLessThanOrEqual(bound);
});
