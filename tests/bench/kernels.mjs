// Owns the kernel benchmark: builds its programs, runs them in turn and gathers the samples. Called by run.mjs.
// Surprise: one round runs every tier's whole list once, in alternating order, so that a slow minute of the machine hits
// all of them alike.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from '../../tools/build.mjs';
import { SetupError, root, say } from '../../tools/setup/io.mjs';
import { short, spread, table } from './figures.mjs';

/**
 * name -> how it is built and run. The revectorised ones are the same modules under V8's flag; `ocelli bench` sets it
 * itself unless told not to.
 */
export const tiers = {
  native: { target: 'native' },
  simd128: { target: 'mt-simd128', options: ['--no-revectorise'] },
  relaxed: { target: 'mt-relaxed', options: ['--no-revectorise'] },
  'relaxed-256': { target: 'mt-relaxed', flags: ['--experimental-wasm-revectorize'] },
};

/** What starts a benchmark program of a tier. */
export function commandOf({ target, flags = [] }, node, program) {
  const file = join(root, 'build/bench', target, program);
  if (target === 'native') return [file];
  return [node, ...flags, join(root, 'tools/run_wasm.mjs'), `${file}.mjs`];
}

/** The JSON lines of one run of a program. */
export function lines(words) {
  return new Promise((accept, reject) => {
    const child = spawn(words[0], words.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (bytes) => (text += bytes));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0) reject(new SetupError(`${words.join(' ')} ended with status ${code}`));
      else
        accept(
          text
            .trim()
            .split('\n')
            .filter(Boolean)
            .map((line) => JSON.parse(line)),
        );
    });
  });
}

/** Runs `rounds` rounds of the named tiers; the results of every case, tier and number of threads. */
export async function benchKernels({ names, threads, rounds, seconds, filter, node }) {
  await build([...new Set(names.map((name) => tiers[name].target))], ['bench_kernels']);
  const found = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const count of threads) {
      for (const name of round % 2 === 0 ? names : [...names].reverse()) {
        say(`round ${round + 1} of ${rounds}: ${name}, ${count} thread${count === 1 ? '' : 's'}`);
        const options = ['--seconds', seconds, '--threads', count, '--filter', filter];
        for (const one of await lines([
          ...commandOf(tiers[name], node, 'kernels'),
          ...options.map(String),
        ])) {
          const key = JSON.stringify([one.case, name, one.threads]);
          const known = found.get(key);
          if (known) known.samples.push(...one.seconds);
          else {
            const { case: title, seconds: samples, ...rest } = one;
            found.set(key, { case: title, ...rest, tier: name, samples });
          }
        }
      }
    }
  }
  const results = [...found.values()].map(finished);
  for (const one of results) {
    const read = results.find(
      (other) =>
        other.case.startsWith('read ') && other.tier === one.tier && other.threads === one.threads,
    );
    if (read && one !== read) one.read_share = one.gb_per_s.best / read.gb_per_s.best;
  }
  return results;
}

function finished({ samples, ...one }) {
  const time = spread(samples);
  const rate = (work) => ({
    best: work / time.min / 1e9,
    median: work / time.median / 1e9,
    worst: work / time.max / 1e9,
  });
  return {
    ...one,
    seconds: time,
    ...(one.macs > 0 && { gmac_per_s: rate(one.macs) }),
    gb_per_s: rate(one.bytes),
  };
}

/** One table a number of threads: best and median rates, and the share of the read bandwidth. */
export function kernelTables(results) {
  const names = [...new Set(results.map(({ tier }) => tier))];
  return [...new Set(results.map(({ threads }) => threads))].map((threads) => {
    const here = results.filter((one) => one.threads === threads);
    const rows = [...new Set(here.map((one) => one.case))].map((title) => {
      const cells = names.map((name) =>
        here.find((one) => one.case === title && one.tier === name),
      );
      const second = cells.find((cell) => cell?.second_share > 0)?.second_share;
      return [second ? `${title} ${Math.round(100 * second)} %` : title, ...cells.flatMap(cellsOf)];
    });
    const head = [`${threads} thread${threads === 1 ? '' : 's'}`];
    for (const name of names) head.push(name, 'median', 'of read');
    return `GMAC/s (GB/s where there is nothing to multiply), best and median\n${table(head, rows)}`;
  });
}

function cellsOf(one) {
  if (!one) return ['-', '-', '-'];
  const { best, median } = one.gmac_per_s ?? one.gb_per_s;
  const unit = one.gmac_per_s ? '' : ' GB/s';
  const share = one.read_share === undefined ? '' : `${Math.round(100 * one.read_share)} %`;
  return [short(best) + unit, short(median), share];
}
