// Owns one measurement of onnxruntime-web in a process of its own: `node ort_run.mjs JSON` prints one line of figures.
// Started by ort.mjs. Surprise: keys and values go out and in again on every step, as transformers.js does it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { runtime, folder, threads, prompt, new: steps } = JSON.parse(process.argv[2]);
const ort = await import(pathToFileURL(runtime).href);
ort.env.wasm.numThreads = threads;
ort.env.logLevel = 'error';
const about = JSON.parse(readFileSync(join(folder, 'about.json'), 'utf8'));
const { layers, hidden, kvHeads, headSize, parts } = about;
const session = await ort.InferenceSession.create(readFileSync(join(folder, 'model.onnx')), {
  executionProviders: ['wasm'],
  graphOptimizationLevel: 'all',
  externalData: parts.map((path) => ({ path, data: readFileSync(join(folder, path)) })),
});

const names = ['k', 'v'].flatMap((part) =>
  Array.from({ length: layers }, (_, i) => `${part}.${i}`),
);

function empty() {
  const shape = [1, kvHeads, 0, headSize];
  const none = () => new ort.Tensor('float32', new Float32Array(0), shape);
  return Object.fromEntries(names.map((name) => [name, none()]));
}

let state = 1;
function rows(count) {
  const values = Float32Array.from({ length: count * hidden }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return new ort.Tensor('float32', values, [1, count, hidden]);
}

/** Computes `count` more rows; resolves to the cache after them and the milliseconds they took. */
async function forward(cache, past, count) {
  const feeds = {
    hidden: rows(count),
    last: new ort.Tensor('int32', Int32Array.of(past + count - 1), [1]),
    total: new ort.Tensor('int32', Int32Array.of(past + count), []),
  };
  for (const name of names) feeds[`past.${name}`] = cache[name];
  const start = performance.now();
  const found = await session.run(feeds);
  const ms = performance.now() - start;
  if (!Number.isFinite(found.logits.data[0])) throw new Error('the logits are no numbers');
  const kept = Object.fromEntries(names.map((name) => [name, found[`present.${name}`]]));
  return { cache: kept, ms };
}

let { cache } = await forward(empty(), 0, 2);
({ cache } = await forward(cache, 2, 1)); // both were to warm up
const long = await forward(empty(), 0, prompt);
let decodeMs = 0;
cache = long.cache;
for (let i = 0; i < steps; i++) {
  const one = await forward(cache, prompt + i, 1);
  decodeMs += one.ms;
  cache = one.cache;
}
const figures = { prompt: (1000 * prompt) / long.ms, decode: (1000 * steps) / decodeMs };
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0));
