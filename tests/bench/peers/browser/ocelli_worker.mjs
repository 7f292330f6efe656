// Owns `ocelli bench` in a browser: the phases of js/cli/bench_phases.ts on a model that comes from the server. Started by
// ocelli.html. Surprise: imports by computed names, since what lies at /build is the built package, known to no linter.
import { optionsOf, reportOf, tell } from './report.mjs';

const built = (name) => import(`/build/js/${name}`);

async function open({ prompt, new: steps, batch, threads, variant }) {
  const { loadCore } = await built('abi/load.js');
  const { parseManifest } = await built('thread/engine.js');
  const { placeShards } = await built('weights/place.js');
  const { sourceFrom } = await built('weights/source.js');
  const source = sourceFrom(new URL('/container/', self.location.href).href);
  const bytes = await source.manifest();
  const manifest = parseManifest(bytes);
  const core = await loadCore({ threads, variant });
  const engine = core.calls.open(bytes, {
    threads: core.threads,
    compute: 'fast',
    context: batch * (prompt + steps + batch + 64) + 512,
    sequences_max: Math.max(8, batch),
  });
  await placeShards(core.calls, engine, manifest, source);
  core.calls.ready(engine);
  return { core, engine };
}

async function measure(options) {
  const { prompt, new: steps, batch } = options;
  const { core, engine } = await open(options);
  const { Bench } = await built('cli/bench_phases.js');
  const runs = new Bench(core.calls, engine);
  await tell('warming up');
  runs.prompt(Math.max(32, runs.templateTokens() + 1), 1);
  runs.decode(0, 4, 1);
  const figures = {};
  if (prompt > 0) figures.prompt_tokens_per_s = runs.prompt(prompt, batch).tokensPerSecond;
  if (steps > 0) figures.decode_tokens_per_s = runs.decode(0, steps, batch).tokensPerSecond;
  return figures;
}

void reportOf(() => measure(optionsOf(self.location.href)));
