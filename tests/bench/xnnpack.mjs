// Owns the comparison of our kernels with XNNPACK's: fetches its sources, builds both into one program, runs that in turn
// without and with revectorisation. Called by run.mjs. Surprise: nothing of XNNPACK is part of the project or of a shipped
// module; the first run compiles 700 files, ten minutes.
import { join } from 'node:path';
import { build } from '../../tools/build.mjs';
import { root, run, say } from '../../tools/setup/io.mjs';
import { setup } from '../../tools/setup.mjs';
import { short, spread, table } from './figures.mjs';
import { tiers } from './kernels.mjs';
import { debianSources, pinned } from './peers/fetch.mjs';
import { jsonLines, outputOf } from './peers/process.mjs';

const target = 'mt-relaxed';

async function buildBoth() {
  await setup(['emscripten']);
  const sources = await debianSources();
  await run('cmake', ['--preset', `wasm-${target}`, `-DOCELLI_XNNPACK=${sources}`], { cwd: root });
  await build([target], ['bench_xnnpack']);
}

/** Runs `rounds` rounds of the tiers that are compared; the figures of every case and tier. */
export async function benchXnnpack({ names, rounds, filter, node }) {
  await buildBoth();
  const wanted = names.filter((name) => tiers[name].target === target);
  const words = [
    join(root, 'tools/run_wasm.mjs'),
    join(root, 'build/bench', target, 'xnnpack.mjs'),
  ];
  const found = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? wanted : [...wanted].reverse()) {
      say(`round ${round + 1} of ${rounds}: ${name}`);
      // V8's optimising compiler at once: no figure hangs on when it replaces the baseline code.
      const flags = ['--no-liftoff', ...(tiers[name].flags ?? [])];
      const { out } = await outputOf(node, [...flags, ...words, '--filter', filter]);
      for (const { ours, theirs, ...one } of jsonLines(out)) {
        const key = JSON.stringify([one.case, name]);
        const known = found.get(key) ?? { ...one, runs_in: name, ours: [], theirs: [] };
        known.ours.push(...ours.seconds);
        known.theirs.push(...theirs.seconds);
        known.error = { ours: ours.error, theirs: theirs.error };
        found.set(key, known);
      }
    }
  }
  return { xnnpack: pinned('debian', 'xnnpack'), cases: [...found.values()].map(finished) };
}

function finished({ ours, theirs, ...one }) {
  const rate = (samples) => {
    const time = spread(samples);
    return { best: one.work / time.min / 1e9, median: one.work / time.median / 1e9 };
  };
  const [own, other] = [rate(ours), rate(theirs)];
  const ratio = { best: own.best / other.best, median: own.median / other.median };
  return { ...one, ours: own, theirs: other, ratio };
}

/** One table a tier: best and median rates of both, ratios (above 1 where ours is faster), errors. */
export function xnnpackTables({ cases }) {
  const head = ['case', 'unit', 'ocelli', 'median', 'XNNPACK', 'median', 'ratio', 'of medians'];
  head.push('error', 'XNNPACK');
  return [...new Set(cases.map((one) => one.runs_in))].map((name) => {
    const here = cases.filter((one) => one.runs_in === name);
    const small = (error) => (error === undefined ? '-' : error.toExponential(1));
    const rows = here.map(({ ours, theirs, ratio, error, ...one }) => [
      ...[one.case, one.unit, short(ours.best), short(ours.median), short(theirs.best)],
      ...[short(theirs.median), short(ratio.best), short(ratio.median)],
      ...[small(error.ours), small(error.theirs)],
    ]);
    const { tier, their_dot: dot } = here[0];
    const title = `${name}, one thread, per second of CPU time (ours: ${tier}; XNNPACK's dot: ${dot})`;
    return `${title}\n${table(head, rows)}`;
  });
}
