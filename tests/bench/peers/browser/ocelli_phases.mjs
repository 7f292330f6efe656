// Owns the phases of `ocelli bench` where the command cannot run: opens a model with the built package and measures it. Used by
// ocelli_worker.mjs, and by a test in Node. Surprise: `built` imports a module of build/js, since only the caller knows where
// that is.

async function open(built, model, { prompt, new: steps, batch, threads, variant }) {
  const { loadCore } = await built('abi/load.js');
  const { parseManifest } = await built('weights/manifest.js');
  const { moverHere, placeShards } = await built('weights/place.js');
  const { sourceFrom } = await built('weights/source.js');
  const source = sourceFrom(model);
  const bytes = await source.manifest();
  const manifest = parseManifest(bytes);
  const core = await loadCore({ threads, variant });
  const engine = core.calls.open(bytes, {
    threads: core.threads,
    compute: 'fast',
    context: Math.min(batch * (prompt + steps + batch + 64) + 512, manifest.config.text.context),
    sequences_max: Math.max(8, batch),
    guess: false,
    prefix_cache: false,
  });
  await placeShards(core.calls, engine, manifest, moverHere(core.calls, source));
  core.calls.ready(engine);
  return { core, engine };
}

/** The figures of `ocelli bench --json` that are rates, of one run after a short one to warm up. */
export async function measure(built, model, options) {
  const { prompt, new: steps, batch } = options;
  const { core, engine } = await open(built, model, options);
  try {
    const { Bench } = await built('cli/bench_phases.js');
    const runs = new Bench(core.calls, engine);
    runs.prompt(Math.max(32, runs.templateTokens() + 1), 1);
    runs.decode(0, 4, 1);
    const figures = {};
    if (prompt > 0) figures.prompt_tokens_per_s = runs.prompt(prompt, batch).tokensPerSecond;
    if (steps > 0) figures.decode_tokens_per_s = runs.decode(0, steps, batch).tokensPerSecond;
    return figures;
  } finally {
    core.stop();
  }
}
