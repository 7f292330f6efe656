// Owns one measurement of node-llama-cpp in a process of its own: `node node_llama_cpp_run.mjs JSON` prints one line of
// figures. Started by node_llama_cpp.mjs.
import { pathToFileURL } from 'node:url';

const { entry, model: modelPath, threads, prompt, new: steps } = JSON.parse(process.argv[2]);
const { getLlama } = await import(pathToFileURL(entry).href);
const quiet = { progressLogs: false, logLevel: 'error' };
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, ...quiet });
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const sizes = { contextSize: 2048, batchSize: 512, sequences: 1 };
const context = await model.createContext({ ...sizes, threads });
if (context.currentThreads > threads) throw new Error(`it has ${context.currentThreads} threads`);
const sequence = context.getSequence();

/** Tokens that mean nothing; what they are does not matter to the speed. */
const tokens = (count) => Array.from({ length: count }, (_, i) => 1000 + ((7919 * i) % 50000));

async function decode(count) {
  let left = count;
  const options = { temperature: 0, yieldEogToken: true };
  for await (const token of sequence.evaluate(tokens(1), options))
    if (token === undefined || --left === 0) break;
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

await sequence.evaluateWithoutGeneratingNewTokens(tokens(16));
await decode(2);
await sequence.clearHistory();
const promptMs = await timed(() => sequence.evaluateWithoutGeneratingNewTokens(tokens(prompt)));
await sequence.clearHistory();
const decodeMs = await timed(() => decode(steps));
const figures = { prompt: (1000 * prompt) / promptMs, decode: (1000 * steps) / decodeMs };
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0));
