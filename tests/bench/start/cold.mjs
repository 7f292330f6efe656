// Owns `npm run bench -- cold-start`: the first token of a 512-token prompt while the model still comes over a throttled
// loopback server, beside the larger of download alone and prompt alone. Called by run.mjs. Surprise: client and server share
// the cores, so the server's CPU time is printed too; and each run follows a program that touches 4 GiB, since a virtual
// machine may have given memory back to its host, which makes its first use several times as slow.
import { fork, spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from '../../../tools/setup/io.mjs';
import { setup } from '../../../tools/setup.mjs';
import { short, spread, table } from '../figures.mjs';
import { synthetic } from '../model.mjs';

const here = join(root, 'tests/bench/start');
const touch = 'for (let i = 0; i < 8; i++) globalThis[i] = Buffer.alloc(2 ** 29, 1)';

function output(node, words) {
  return new Promise((accept, reject) => {
    const child = spawn(node, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (bytes) => (text += bytes));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? accept(text) : reject(new Error(`status ${code}`))));
  });
}

/** Seconds of `what` at `rate` MB/s, and the server's CPU seconds. */
async function measure(node, what, folder, rate, threads) {
  const server = fork(join(here, 'throttled_server.mjs'), [folder, String(rate)], {
    execPath: node,
  });
  try {
    const port = await new Promise((accept) => server.once('message', accept));
    const url = `http://127.0.0.1:${port}/`;
    await output(node, ['-e', touch]);
    const options = { what, model: what === 'prompt' ? folder : url, threads, tokens: 512 };
    const { ms } = JSON.parse(
      await output(node, [join(here, 'cold_run.mjs'), JSON.stringify(options)]),
    );
    const { cpuMs } = await (await fetch(`${url}cpu`)).json();
    return { seconds: ms / 1000, server: cpuMs / 1000 };
  } finally {
    server.disconnect();
  }
}

export async function benchColdStart(words) {
  const text = { type: 'string' };
  const options = { model: text, node: text, rates: text, rounds: text, threads: text };
  const { values } = parseArgs({ args: words, options });
  const node = values.node ?? (await setup(['tests'])).node_relaxed;
  const folder = values.model ?? (await synthetic(node, '3b'));
  const threads = Number(values.threads ?? 2);
  const rows = [];
  for (const rate of (values.rates ?? '100,200,400').split(',').map(Number)) {
    const seen = { fetch: [], prompt: [], both: [], server: [] };
    for (let round = 0; round < Number(values.rounds ?? 3); round++) {
      for (const what of ['fetch', 'prompt', 'both']) {
        say(`${rate} MB/s, round ${round + 1}: ${what}`);
        const { seconds, server } = await measure(node, what, folder, rate, threads);
        seen[what].push(seconds);
        if (what === 'both') seen.server.push(server);
      }
    }
    const [download, prompt, both, server] = Object.values(seen).map(spread);
    const larger = Math.max(download.min, prompt.min);
    const cells = [download, prompt, both, server].map((one) => short(one.min));
    rows.push([`${rate} MB/s`, ...cells, short(both.median), `${short(both.min / larger)}x`]);
  }
  const head = [
    'least seconds',
    'download',
    'prompt',
    'first token',
    'server CPU',
    'median',
    'ratio',
  ];
  console.log(`\n${table(head, rows)}`);
}
