// Owns the measurement of wllama in a page: loads the model's parts, completes a text and posts its own timings. Loaded by
// wllama.html.
import { optionsOf, reportOf, tell } from './report.mjs';

/** `count` digits, each one token; another text for each seed, so that no cache answers. */
const digits = (count, seed) =>
  Array.from({ length: count }, (_, i) => (7 * i + seed * (i + 3)) % 10).join('');

async function measure({ files, threads, prompt, new: steps }) {
  const { Wllama } = await import(`/wllama/esm/${'index.js'}`);
  const wllama = new Wllama(
    { default: '/wllama/esm/wasm/wllama.wasm' },
    { suppressNativeLog: true },
  );
  wllama.setCompat(null);
  const blobs = await Promise.all(
    files.map(async (name) => {
      const blob = await (await fetch(`/model/${name}`)).blob();
      return new File([blob], name);
    }),
  );
  await wllama.loadModel(blobs, {
    n_threads: threads,
    n_ctx: 1024,
    n_parallel: 1,
    n_gpu_layers: 0,
  });
  if (wllama.getNumThreads() !== threads)
    throw new Error(`wllama has ${wllama.getNumThreads()} threads, ${threads} were asked for`);
  await tell('warming up');
  const complete = async (count, tokens, seed) => {
    const text = digits(count, seed);
    const options = { prompt: text, max_tokens: tokens, temperature: 0, ignore_eos: true };
    const { timings } = await wllama.createCompletion({ ...options, cache_prompt: false });
    return timings;
  };
  await complete(2, 2, 1);
  const timings = await complete(prompt, steps + 1, 2);
  const { prompt_n: asked, prompt_ms: ms, predicted_n: made } = timings;
  if (asked !== prompt || made !== steps + 1)
    throw new Error(`wllama counts ${asked} and ${made} tokens, not ${prompt} and ${steps + 1}`);
  // The first token comes with the prompt's end: its time is the prompt's.
  return { prompt: (1000 * asked) / ms, decode: (1000 * steps) / timings.predicted_ms };
}

void reportOf(() => measure(optionsOf(location.href)));
