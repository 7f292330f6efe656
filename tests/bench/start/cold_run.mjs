// Owns one measured start, in a process of its own: node cold_run.mjs JSON; its answer is JSON on stdout. Run by cold.mjs.
// `what`: fetch (the bytes alone, by nothing but fetch), prompt (all weights are there) or both (first token of a cold start).
import { createAI } from '../../../build/js/index.js';

const { what, model, threads, tokens } = JSON.parse(process.argv[2]);
const started = performance.now();

async function fetchAll() {
  const { shards } = await (await fetch(new URL('manifest.json', model))).json();
  const lane = async () => {
    for (let one = shards.shift(); one; one = shards.shift()) {
      const { body } = await fetch(new URL(`${one.sha256}.safetensors`, model));
      for await (const piece of body) void piece;
    }
  };
  await Promise.all(Array.from({ length: 6 }, lane));
}

/** When the first token of an answer came. A digit is one token, the chat template about 30. */
async function firstToken(ai) {
  let first = 0;
  const onEvent = ({ type }) => void (type === 'delta' && (first ||= performance.now()));
  const content = Array.from({ length: tokens - 32 }, (_, n) => (n * n + 7 * n) % 10).join('');
  const body = { messages: [{ role: 'user', content }], max_tokens: 1, temperature: 0 };
  await ai.run(null, body, { onEvent });
  return first;
}

let ms;
let before = process.cpuUsage();
let cpu;
if (what === 'fetch') {
  await fetchAll();
  ms = performance.now() - started;
  cpu = process.cpuUsage(before);
} else {
  const ai = createAI({ model, threads, context: 4096, cache: 'none' });
  if (what === 'prompt') await ai.info();
  const from = what === 'prompt' ? performance.now() : started;
  if (what === 'prompt') before = process.cpuUsage();
  ms = (await firstToken(ai)) - from;
  cpu = process.cpuUsage(before);
  await ai.close();
}
console.log(JSON.stringify({ ms, cpuMs: (cpu.user + cpu.system) / 1000 }));
