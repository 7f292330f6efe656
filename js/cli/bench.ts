// Owns `ocelli bench`: opens a model, repeats the phases of bench_phases.ts and prints the figures. Called by main.ts.
// Surprise: it drives the core in this thread, step by step, so that time inside the core and time beside it are known
// apart; an application has the engine in a worker, which computes the same.
import { availableParallelism, cpus } from 'node:os';
import type { Calls, Compute, KvFormat } from '../abi/calls.ts';
import { loadCore, type LoadedCore } from '../abi/load.ts';
import type { VariantName } from '../abi/variants.ts';
import { demoModel } from '../ai.ts';
import { badRequest } from '../errors.ts';
import { processorCount } from '../host.ts';
import { parseManifest } from '../weights/manifest.ts';
import { moverHere, placeShards } from '../weights/place.ts';
import { type Manifest, sourceFrom } from '../weights/source.ts';
import type { Given } from './arguments.ts';
import { readAndHash } from './bench_load.ts';
import { Bench, type ImageTimes, type Rate } from './bench_phases.ts';
import { progressLine, say } from './io.ts';

interface Sizes {
  prompt: number;
  steps: number;
  context: number;
  image: number;
  batch: number;
  repeats: number;
}

interface Opened {
  core: LoadedCore;
  engine: number;
  manifest: Manifest;
  compute: Compute;
  compileMs: number;
  loadMs: number;
  readHashMs: number | null;
}

interface Repeats {
  min: number;
  median: number;
  max: number;
  values: number[];
}

export async function bench(given: Given): Promise<number> {
  const sizes: Sizes = {
    prompt: given.number('prompt') ?? 128,
    steps: given.number('new') ?? 32,
    context: given.number('context') ?? 0,
    image: given.number('image') ?? 0,
    batch: given.number('batch') ?? 1,
    repeats: given.number('repeat') ?? 3,
  };
  const opened = await open(given, sizes);
  try {
    const figures = measure(opened, sizes);
    process.stdout.write(
      given.flag('json') ? `${JSON.stringify(figures, null, 2)}\n` : page(figures),
    );
  } finally {
    opened.core.calls.close(opened.engine);
    await opened.core.stop();
  }
  return 0;
}

/** Refuses what cannot fit into the model's context, before anything is loaded. */
function checkSizes({ prompt, steps, context }: Sizes, contextMax: number): void {
  const refuse = (what: string, tokens: number): never => {
    const message = `${what} takes ${tokens} tokens, the model's context has ${contextMax}`;
    throw badRequest('context_length_exceeded', message, 'context');
  };
  if (prompt >= contextMax) refuse(`--prompt ${prompt}`, prompt + 1);
  if (steps > 0 && context + steps >= contextMax)
    refuse(`--context ${context} with --new ${steps}`, context + steps + 1);
}

async function open(given: Given, sizes: Sizes): Promise<Opened> {
  const { prompt, steps, context, image, batch } = sizes;
  const variant = given.text('variant') as VariantName | undefined;
  const compute = (given.text('compute') ?? 'fast') as Compute;
  const kv = given.text('kv') as KvFormat | undefined;
  const threads = given.number('threads') ?? (await processorCount());
  const source = sourceFrom(given.text('model') ?? demoModel);
  const start = performance.now();
  const bytes = await source.manifest();
  const manifest = parseManifest(bytes);
  checkSizes(sizes, manifest.config.text.context);
  const revectorise = !given.flag('no-revectorise');
  const core = await loadCore({ threads, revectorise, ...(variant && { variant }) });
  const compileMs = performance.now() - start;
  try {
    const engine = core.calls.open(bytes, {
      threads: core.threads,
      compute,
      ...(kv && { kv }),
      // Room for all sequences of a phase, for the template around a text, and for the picture: a token is 28 x 28 pixels.
      context: Math.min(
        Math.max(
          batch * (Math.max(prompt, context) + steps + batch + 64),
          Math.ceil(image / 28) ** 2 + 64,
        ) + 512,
        manifest.config.text.context,
      ),
      sequences_max: Math.max(8, batch),
      prefix_cache: false,
      guess: false, // a token a step, whatever the text
    });
    await placeShards(core.calls, engine, manifest, moverHere(core.calls, source), {
      progress: progressLine(),
    });
    core.calls.ready(engine);
    const loadMs = performance.now() - start;
    const readHashMs = await readAndHash(source, manifest);
    return { core, engine, manifest, compute, compileMs, loadMs, readHashMs };
  } catch (error) {
    await core.stop();
    throw error;
  }
}

function measure(opened: Opened, sizes: Sizes) {
  const { core, engine, manifest, compute, compileMs, loadMs, readHashMs } = opened;
  const calls: Calls = core.calls;
  const runs = new Bench(calls, engine);
  const { prompt, steps, context, image, batch, repeats } = sizes;
  // Not counted: V8 replaces the code of a module while it runs.
  const warm = performance.now();
  say('warming up');
  runs.prompt(Math.max(32, runs.templateTokens() + 1), 1);
  runs.decode(0, 4, 1);
  const warmupMs = performance.now() - warm;

  const prompts: Rate[] = [];
  const decodes: Rate[] = [];
  const images: ImageTimes[] = [];
  for (let repeat = 1; repeat <= repeats; repeat++) {
    const tell = (what: string): void => say(`${repeat} of ${repeats}: ${what}`);
    if (prompt > 0) {
      prompts.push(runs.prompt(prompt, batch));
      tell(`prompt, ${shown(prompts.at(-1)?.tokensPerSecond)} tokens/s`);
    }
    if (steps > 0) {
      decodes.push(runs.decode(context, steps, batch));
      tell(`decode, ${shown(decodes.at(-1)?.tokensPerSecond)} tokens/s`);
    }
    if (image > 0) {
      images.push(runs.image(image));
      tell(`image, ${shown(images.at(-1)?.total)} ms`);
    }
  }
  const promptRates = repeatsOf(prompts.map((one) => one.tokensPerSecond));
  const decodeRates = repeatsOf(decodes.map((one) => one.tokensPerSecond));
  const stages = ['decode', 'resize', 'vision', 'prompt', 'total'] as const;
  const imageRepeats = Object.fromEntries(
    stages.map((stage) => [stage, repeatsOf(images.map((one) => one[stage]))]),
  );
  const decodeSteps = decodes.reduce((sum, one) => sum + one.steps, 0);
  return {
    model: manifest.name,
    precision: manifest.precision,
    variant: core.variant,
    threads: core.threads,
    revectorised: core.revectorised,
    compute,
    node: process.version,
    v8: process.versions.v8,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    prompt,
    new: steps,
    context,
    batch,
    image,
    compile_ms: compileMs,
    load_ms: loadMs,
    read_hash_ms: readHashMs,
    warmup_ms: warmupMs,
    prompt_tokens_per_s: promptRates?.median ?? null,
    decode_tokens_per_s: decodeRates?.median ?? null,
    image_ms:
      images.length > 0
        ? Object.fromEntries(stages.map((stage) => [stage, imageRepeats[stage]?.median ?? 0]))
        : null,
    image_tokens: images[0]?.imageTokens ?? 0,
    host_ms_per_step:
      decodeSteps > 0 ? decodes.reduce((sum, one) => sum + one.hostMs, 0) / decodeSteps : null,
    wasm_memory_bytes: calls.memoryBytes(),
    repeats: {
      prompt_tokens_per_s: promptRates,
      decode_tokens_per_s: decodeRates,
      image_ms: images.length > 0 ? imageRepeats : null,
    },
  };
}

function repeatsOf(values: number[]): Repeats | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const at = (place: number): number => sorted[place] ?? NaN;
  const half = (sorted.length - 1) / 2;
  return {
    min: at(0),
    median: (at(Math.floor(half)) + at(Math.ceil(half))) / 2,
    max: at(sorted.length - 1),
    values,
  };
}

function shown(value: number | undefined): string {
  if (value === undefined) return '-';
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

function page(figures: ReturnType<typeof measure>): string {
  const { repeats, image_ms: imageMs } = figures;
  const lines = [
    `${figures.model}, ${figures.variant}, ${figures.threads} threads, ${figures.compute}`,
    `${figures.cpu}, ${figures.cores} processors, Node ${figures.node}`,
    '',
    `load            ${shown(figures.load_ms)} ms (reading and hashing alone: ${shown(figures.read_hash_ms ?? undefined)} ms)`,
  ];
  const line = (label: string, unit: string, values: Repeats | null | undefined): void => {
    if (!values) return;
    const range = `${shown(values.min)} to ${shown(values.max)}`;
    lines.push(`${label.padEnd(15)} ${shown(values.median)} ${unit} (${range})`);
  };
  line(`prompt of ${figures.prompt}`, 'tokens/s', repeats.prompt_tokens_per_s);
  line(`decode at ${figures.context}`, 'tokens/s', repeats.decode_tokens_per_s);
  if (imageMs) {
    lines.push(`image of ${figures.image} px, ${figures.image_tokens} tokens`);
    for (const stage of Object.keys(imageMs)) line(`  ${stage}`, 'ms', repeats.image_ms?.[stage]);
  }
  lines.push(`memory          ${shown(figures.wasm_memory_bytes / 2 ** 20)} MiB`);
  return `${lines.join('\n')}\n`;
}
