// Owns `npm run bench -- cold-start`: the first token of a 512-token prompt while the model still comes over a throttled
// loopback server, beside the larger of download alone and prompt alone. Called by run.mjs. Surprise: client and server share
// the cores, so the server's CPU time is printed too; and each run follows a program that touches 4 GiB, since a virtual
// machine may have given memory back to its host, which makes its first use several times as slow.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from '../../../tools/setup/io.mjs';
import { setup } from '../../../tools/setup.mjs';
import { short, spread, table } from '../figures.mjs';
import { synthetic } from '../model.mjs';
import { output, touch } from './process.mjs';

const here = join(root, 'tests/bench/start');

/** Serves `folder` at `rate` MB/s ("none": as fast as it goes) while `work` is done with its URL. */
export async function serving(folder, rate, work) {
  const words = [join(here, 'throttled_server.py'), folder, String(rate)];
  const server = spawn('python3', words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = new Promise((accept) => server.once('close', accept));
  try {
    const port = await new Promise((accept, reject) => {
      server.once('error', reject);
      server.stdout.once('data', (line) => accept(Number(line)));
      void gone.then((code) => reject(new Error(`the server ended with status ${code}`)));
    });
    return await work(`http://127.0.0.1:${port}/`);
  } finally {
    server.stdin.end();
    await gone;
  }
}

/** Seconds of `what` at `rate` MB/s, and the CPU seconds of the client and of the server. */
function measure(node, what, folder, rate, threads) {
  return serving(folder, rate, async (url) => {
    await output(node, ['-e', touch]);
    const options = { what, model: what === 'prompt' ? folder : url, threads, tokens: 512 };
    const run = await output(node, [join(here, 'cold_run.mjs'), JSON.stringify(options)]);
    const { ms, cpuMs } = JSON.parse(run);
    const server = await (await fetch(`${url}cpu`)).json();
    return { seconds: ms / 1000, cpu: cpuMs / 1000, server: server.cpuMs / 1000 };
  });
}

export async function benchColdStart(words) {
  const text = { type: 'string' };
  const options = { model: text, node: text, rates: text, rounds: text, threads: text };
  const { values } = parseArgs({ args: words, options });
  const node = values.node ?? (await setup(['tests'])).node_relaxed;
  const folder = values.model ?? (await synthetic(node, '3b'));
  const threads = Number(values.threads ?? 2);
  const cores = availableParallelism();
  const rows = [];
  const prompts = [];
  for (const rate of (values.rates ?? '50,100,200,400,800').split(',').map(Number)) {
    const downloads = [];
    const starts = [];
    for (let round = 0; round < Number(values.rounds ?? 3); round++) {
      for (const [what, seen] of Object.entries({
        fetch: downloads,
        prompt: prompts,
        both: starts,
      })) {
        say(`${rate} MB/s, round ${round + 1}: ${what}`);
        seen.push(await measure(node, what, folder, rate, threads));
      }
    }
    rows.push({ rate, downloads, starts });
  }
  const least = (runs) => runs.reduce((best, run) => (run.seconds < best.seconds ? run : best));
  const prompt = least(prompts);
  const cells = rows.map(({ rate, downloads, starts }) => {
    const download = least(downloads).seconds;
    const start = least(starts);
    const larger = Math.max(download, prompt.seconds);
    const median = spread(starts.map(({ seconds }) => seconds)).median;
    return [
      `${rate} MB/s`,
      ...[download, prompt.seconds, start.seconds, median].map(short),
      `${short(start.seconds / larger)}x`,
      `${short((start.seconds - start.server / cores) / larger)}x`,
      ...[prompt.cpu, start.cpu, start.server].map(short),
    ];
  });
  const head = ['seconds', 'download', 'prompt', 'first token', 'median', 'ratio', 'less server'];
  console.log(`\n${table([...head, 'prompt CPU', 'start CPU', 'server CPU'], cells)}`);
}
