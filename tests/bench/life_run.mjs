// Owns opening, asking and closing an engine many times in one process, and counting what the process holds then. Started by
// life.mjs with --expose-gc; prints one line of JSON.  life_run.mjs '{"cycles":25,"package":URL,"options":{...}}'
// Surprise: threads and memories end a little after they are let go, so a count is taken when it no longer falls.
import { readdirSync, readFileSync } from 'node:fs';

const { cycles, package: entry, options } = JSON.parse(process.argv[2]);
const { createAI } = await import(entry);

const linux = process.platform === 'linux';
const mib = (bytes) => bytes / 2 ** 20;

function counts() {
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const status = linux ? readFileSync('/proc/self/status', 'utf8') : '';
  return {
    rss_mib: mib(rss),
    heap_mib: mib(heapUsed),
    external_mib: mib(external),
    buffers_mib: mib(arrayBuffers),
    // V8 reserves 4 GiB or more of addresses for each WebAssembly memory, so this counts them.
    addresses_mib: Number(/VmSize:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
    threads: linux ? readdirSync('/proc/self/task').length : 0,
    files: linux ? readdirSync('/proc/self/fd').length : 0,
    resources: process.getActiveResourcesInfo().length,
  };
}

async function settled() {
  let best = null;
  for (let still = 0; still < 3; ) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 15));
    const now = counts();
    const less =
      best && (now.threads < best.threads || now.addresses_mib < best.addresses_mib - 64);
    still = best && !less ? still + 1 : 0;
    best = now;
  }
  return best;
}

async function cycle() {
  const ai = createAI(options);
  const messages = [{ role: 'user', content: 'hi' }];
  const { usage } = await ai.run(null, { messages, max_tokens: 2, ignore_eos: true });
  if (usage.completion_tokens !== 2) throw new Error('the engine gave no answer');
  await ai.close();
}

const every = Math.max(1, Math.floor(cycles / 20));
const samples = [{ cycle: 0, ...(await settled()) }];
for (let n = 1; n <= cycles; n++) {
  await cycle();
  if (n === 5 || n % every === 0 || n === cycles) samples.push({ cycle: n, ...(await settled()) });
}
console.log(JSON.stringify(samples));
