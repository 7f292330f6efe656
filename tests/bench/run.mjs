// Owns `npm run bench`: which benchmarks run, with which builds; prints tables and writes build/bench/results.json.
//   node tests/bench/run.mjs [kernels [--xnnpack]] [grammar] [model] [--peers [NAMES]] [options]  (--help has them)
// Surprise: figures compare within one run of one machine. Whatever else computes meanwhile is in them.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { SetupError, endWith, readJson, root, say } from '../../tools/setup/io.mjs';
import { setup } from '../../tools/setup.mjs';
import { benchGrammars, grammarTables } from './grammar.mjs';
import { benchKernels, kernelTables, tiers } from './kernels.mjs';
import { machine } from './machine.mjs';
import { benchModel, modelTables } from './model.mjs';
import { benchPeers, chosenPeers, peers, writeChart } from './peers/peers.mjs';
import { markdown, measures, peerTables } from './peers/ratios.mjs';
import { benchColdStart } from './start/cold.mjs';
import { benchOpen } from './start/open.mjs';
import { benchXnnpack, xnnpackTables } from './xnnpack.mjs';

const usage = `usage: npm run bench -- [kernels] [grammar] [model] [--peers [A,B]] [options]
       npm run bench -- cold-start [--rates 50,100,200,400,800] [--rounds 3] [--threads 2] [--model DIR] [--node PATH]
       npm run bench -- open [--where disk,memory,opfs,cache-api] [--rounds 3] [--threads 2] [--model DIR] [--node PATH]

  --xnnpack        for kernels: only those that XNNPACK has too, beside its own (fetched and built: ten minutes)
  --peers A,B      ocelli beside others: ${peers.map(({ name }) => name).join(', ')}
                   (all without names); only this unless another benchmark is named
  --measures A,B   only these of each peer: ${Object.keys(measures).join(', ')}
  --table          runs nothing: the comparison in the --json file as Markdown
  --tiers A,B      of ${Object.keys(tiers).join(', ')} (all)
  --threads 1,2    numbers of compute threads (1,2)
  --rounds N       how often everything is run (5 for kernels, else 3)
  --seconds S      time for one kernel in one round (0.2)
  --filter TEXT    only kernels or grammars with this in their name
  --model DIR      a container; else random weights are made
  --shape NAME     of what shape: 3b (default), 7b, or tiny for a quick look
  --node PATH      the Node that runs WebAssembly (the set-up's)
  --json FILE      where the figures go (build/bench/results.json; of peers alone peers.json, with
                   --xnnpack xnnpack.json)
`;

function whole(name, text, least) {
  const number = Number(text);
  if (Number.isInteger(number) && number >= least) return number;
  throw new SetupError(`--${name} is "${text}", must be a whole number of at least ${least}`);
}

const benchmarks = ['kernels', 'grammar', 'model'];
const texts = ['tiers', 'threads', 'rounds', 'seconds', 'filter', 'model', 'shape', 'node', 'json'];

/** The words with "--peers" as "--peers=all" where no names follow. */
function withPeers(words) {
  return words.map((word, i) => {
    const next = words[i + 1];
    const alone = !next || next.startsWith('-') || benchmarks.includes(next);
    return word === '--peers' && alone ? '--peers=all' : word;
  });
}

function readArguments() {
  const named = [...texts, 'peers', 'measures'].map((name) => [name, { type: 'string' }]);
  const { values, positionals } = parseArgs({
    args: withPeers(process.argv.slice(2)),
    allowPositionals: true,
    options: {
      ...Object.fromEntries(named),
      ...{ table: { type: 'boolean' }, xnnpack: { type: 'boolean' }, help: { type: 'boolean' } },
    },
  });
  for (const name of positionals) {
    if (!benchmarks.includes(name))
      throw new SetupError(`there is no benchmark "${name}": ${benchmarks.join(', ')}`);
  }
  const names = values.tiers?.split(',') ?? Object.keys(tiers);
  for (const name of names) {
    if (!tiers[name])
      throw new SetupError(`there is no tier "${name}": ${Object.keys(tiers).join(', ')}`);
  }
  const seconds = Number(values.seconds ?? 0.2);
  if (!(seconds > 0)) throw new SetupError(`--seconds is "${values.seconds}", must be above 0`);
  const wanted = values.measures?.split(',');
  for (const name of wanted ?? []) {
    if (!measures[name])
      throw new SetupError(`there is no measure "${name}": ${Object.keys(measures).join(', ')}`);
  }
  if (values.xnnpack && !positionals.includes('kernels'))
    throw new SetupError('--xnnpack is a way to run kernels: npm run bench -- kernels --xnnpack');
  const others = values.peers === undefined ? benchmarks : [];
  const what = positionals.length > 0 ? positionals : others;
  const onlyPeers = values.table || what.length === 0;
  const results = onlyPeers ? 'peers.json' : values.xnnpack ? 'xnnpack.json' : 'results.json';
  return {
    ...values,
    what,
    chosen: values.peers === undefined ? [] : chosenPeers(values.peers),
    measures: wanted,
    file: values.json ?? join(root, 'build/bench', results),
    names,
    threads: (values.threads ?? '1,2').split(',').map((each) => whole('threads', each, 1)),
    rounds: values.rounds === undefined ? undefined : whole('rounds', values.rounds, 1),
    seconds,
  };
}

async function main() {
  const [first, ...words] = process.argv.slice(2);
  if (first === 'cold-start') return await benchColdStart(words);
  if (first === 'open') return await benchOpen(words);
  const given = readArguments();
  if (given.help) return process.stdout.write(usage);
  if (given.table) return process.stdout.write(tableOf(given.file));
  const node = given.node ?? (await setup(['tests'])).node_relaxed;
  const results = { machine: machine(node) };
  const { cpu, cores, load_average: load, node: version } = results.machine;
  console.log(`${cpu}, ${cores} processors, Node ${version}, load average ${load.toFixed(2)}`);
  if (load > 0.5) say('warning: something else is computing here, and is in every figure');
  const { names, threads, seconds, filter = '', model, shape = '3b' } = given;
  if (given.what.includes('kernels') && given.xnnpack) {
    results.xnnpack = await benchXnnpack({ names, rounds: given.rounds ?? 3, filter, node });
    for (const text of xnnpackTables(results.xnnpack)) console.log(`\n${text}`);
  } else if (given.what.includes('kernels')) {
    const rounds = given.rounds ?? 5;
    results.kernels = await benchKernels({ names, threads, rounds, seconds, filter, node });
    for (const text of kernelTables(results.kernels)) console.log(`\n${text}`);
  }
  if (given.what.includes('grammar')) {
    // V8 revectorises kernels only; a grammar has none.
    const tried = new Set(names.map((name) => name.replace('relaxed-256', 'relaxed')));
    results.grammar = await benchGrammars({
      names: [...tried],
      rounds: given.rounds ?? 3,
      filter,
      node,
    });
    for (const text of grammarTables(results.grammar)) console.log(`\n${text}`);
  }
  if (given.what.includes('model')) {
    const rounds = given.rounds ?? 3;
    const built = names.filter((name) => name !== 'native');
    results.model = await benchModel({ names: built, tiers, threads, rounds, model, shape, node });
    for (const text of modelTables(results.model)) console.log(`\n${text}`);
  }
  if (given.chosen.length > 0) {
    const rounds = given.rounds ?? 3;
    const { chosen, measures: wanted } = given;
    const settings = { chosen, measures: wanted, names, threads, rounds, model, shape, node };
    results.peers = await benchPeers(settings);
    for (const text of peerTables(results.peers)) console.log(`\n${text}`);
    const image = join(root, 'build/bench/peers.svg');
    say(`\nchart written to ${writeChart(results.peers, results.machine, image)}`);
  }
  mkdirSync(dirname(given.file), { recursive: true });
  writeFileSync(given.file, `${JSON.stringify(results, null, 2)}\n`);
  say(`\nfigures written to ${given.file}`);
}

/** The comparison of an earlier run. */
function tableOf(file) {
  const results = existsSync(file) ? readJson(file) : {};
  if (!results.peers)
    throw new SetupError(`${file} has no comparison: run "npm run bench -- --peers" first`);
  return markdown(results.peers, results.machine);
}

main().catch((error) => {
  const usageError = String(error.code).startsWith('ERR_PARSE_ARGS');
  if (!usageError && !(error instanceof SetupError)) endWith(error);
  say(`bench: ${error.message}`);
  process.exit(usageError ? 2 : 1);
});
