// Owns loading a server until it should break: many clients of all dialects who leave, lie and flood, a SIGKILL in the middle,
// and the count of what is left when they rest. Run by hand, and by tests/worker/load.test.ts for some seconds.
//   node tests/load/load.mjs [--seconds 300] [--clients 64] [--seed 1] [--rests 10] [-- options of ocelli serve]
// Surprise: what is random follows the seed, when things happen does not: a seed repeats who does what, not in which order.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { endWith, isMain, say } from '../../tools/setup/io.mjs';
import { table } from '../bench/figures.mjs';
import { acts } from './clients.mjs';
import { ask, rest } from './http.mjs';
import { serverIn } from './server.mjs';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** What `work` gives; a client who is neither answered nor refused for so many seconds has been forgotten. */
const patience = 300;
async function patiently(work) {
  let timer;
  const late = new Promise((_, reject) => {
    // Counted, so that a machine that stood still meanwhile is no fault.
    let seconds = 0;
    timer = setInterval(() => {
      if (++seconds === patience) reject(new Error(`nothing came in ${patience} s`));
    }, 1000);
  });
  return await Promise.race([work, late]).finally(() => clearInterval(timer));
}

/** Numbers from a seed (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, chance: (p) => next() < p, pick: (list) => list[below(list.length)] };
}

/** Takes webhooks: those to /late are refused once. */
async function hookServer() {
  const told = new Map();
  const server = createServer(async (request, answer) => {
    let text = '';
    for await (const piece of request) text += piece;
    const { data, errors } = JSON.parse(text);
    const [{ taskUUID }] = data ?? errors;
    const before = told.get(taskUUID) ?? 0;
    told.set(taskUUID, before + 1);
    answer.writeHead(request.url === '/late' && before === 0 ? 500 : 200).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return { url, told, close: () => (server.close(), server.closeAllConnections()) };
}

/** What the server says of itself, until nothing runs; what is left then. */
async function quiet(server, faults) {
  rest();
  let left;
  for (const end = performance.now() + 300_000; performance.now() < end; await pause(50)) {
    const { text } = await ask(`${server.url}/metrics`, { method: 'GET' });
    rest();
    const gauge = (name) => Number(new RegExp(`^vllm:${name}\\{.*\\} (.*)$`, 'm').exec(text)?.[1]);
    left = {
      running: gauge('num_requests_running'),
      waiting: gauge('num_requests_waiting'),
      engine: gauge('num_requests_in_engine'),
      kv: gauge('gpu_cache_usage_perc'),
    };
    const counts = await server.probe();
    if (Object.values(left).every((value) => value === 0) && counts.sockets === 0) return counts;
    left.sockets = counts.sockets;
  }
  faults.push(`something stays: ${JSON.stringify(left)}`);
  return await server.probe();
}

/** Every accepted task, until it is over. */
async function collect(server, accepted, hooks, faults) {
  for (const [taskUUID, task] of accepted) {
    for (;;) {
      const body = JSON.stringify([{ taskType: 'getResponse', taskUUID }]);
      const headers = { authorization: 'Bearer rw-open' };
      const { data, errors } = JSON.parse((await ask(`${server.url}/v1`, { headers, body })).text);
      const { status } = data?.[0] ?? {};
      if (status === 'success') break;
      if (status === 'processing') await pause(20);
      else {
        faults.push(`an accepted task was lost: ${JSON.stringify(errors)}`);
        break;
      }
    }
    while (
      task.webhookURL &&
      !(hooks.told.get(taskUUID) > (task.webhookURL.endsWith('late') ? 1 : 0))
    )
      await pause(20);
  }
}

/** How many of the tasks are not over. */
async function unfinished(server, tasks) {
  const runs = await Promise.all(
    tasks.map(async (taskUUID) => {
      const body = JSON.stringify([{ taskType: 'getResponse', taskUUID }]);
      const headers = { authorization: 'Bearer rw-open' };
      const { text } = await ask(`${server.url}/v1`, { headers, body });
      return JSON.parse(text).data?.[0]?.status === 'processing';
    }),
  );
  return runs.filter((run) => run).length;
}

/** { faults, done, told, samples, tasks, interrupted }: what went wrong, what was done, what was held at each rest. */
export async function load({
  seconds,
  clients,
  seed,
  rests,
  words = [],
  onRest = () => undefined,
}) {
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-load-'));
  const hooks = await hookServer();
  const server = await serverIn(folder, words);
  const accepted = new Map();
  const faults = [];
  const done = {};
  const weights = [...acts].flatMap(([act, weight]) => Array(weight).fill(act));

  /** One thing after another until the end of a turn. */
  async function client(random, until) {
    while (performance.now() < until && faults.length < 20) {
      const act = random.pick(weights);
      await server.up;
      const { life, url } = server;
      try {
        const fault = await patiently(act({ url, random, accepted, hooks }));
        if (fault) faults.push(`${act.name}: ${fault}`);
      } catch (error) {
        if (server.life === life) faults.push(`${act.name}: ${error.stack}`);
      }
      done[act.name] = (done[act.name] ?? 0) + 1;
    }
  }

  /** Tasks for later, more than are computed at once, and the kill while they are. */
  async function interrupt(random) {
    const [later] = [...acts.keys()].filter(({ name }) => name === 'later');
    const { url } = server;
    await Promise.all(Array.from({ length: 32 }, () => later({ url, random, accepted, hooks })));
    // Where too many waited already, none of these was taken: then the last of those.
    const last = [...accepted.keys()].slice(-32);
    const count = await unfinished(server, last);
    await server.restart();
    return count;
  }

  const randoms = Array.from({ length: clients }, (_, i) => randomFrom(seed * 1009 + i));
  const samples = [];
  let interrupted = 0;
  try {
    for (let turn = 0; turn < rests && faults.length === 0; turn++) {
      const until = performance.now() + (seconds * 1000) / rests;
      const all = Promise.all(randoms.map((random) => client(random, until)));
      if (turn === Math.floor((rests - 1) / 2)) {
        await pause(Math.max(0, (until - performance.now()) / 2));
        interrupted = await interrupt(randomFrom(seed));
      }
      await all;
      if (turn === Math.floor((rests - 1) / 2)) samples.length = 0; // those of the other process
      await collect(server, accepted, hooks, faults);
      if (faults.length === 0) samples.push(await quiet(server, faults));
      onRest(samples.at(-1), { ...done });
    }
    if (!server.alive()) faults.push(`the server ended: ${server.said}`);
    const status = await server.stop();
    if (status !== 0) faults.push(`the server ended with ${status}: ${server.said}`);
  } catch (error) {
    const end = server.alive() ? '' : `\nocelli serve ended with ${server.status}: ${server.said}`;
    faults.push(`${error.stack}${end}`);
  } finally {
    hooks.close();
    await server.stop().catch(() => undefined);
    rmSync(folder, { recursive: true, force: true });
  }
  return { faults, done, samples, tasks: accepted.size, interrupted, logged: server.logged };
}

/** What grew from the first rest of the last process to the last one. */
export function growth(samples) {
  const [from, to] = [samples[0], samples.at(-1)];
  return Object.fromEntries(Object.keys(to).map((name) => [name, to[name] - from[name]]));
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: Object.fromEntries(
      ['seconds', 'clients', 'seed', 'rests'].map((name) => [name, { type: 'string' }]),
    ),
  });
  const number = (name, fallback) => Number(values[name] ?? fallback);
  const given = {
    ...{ seconds: number('seconds', 300), clients: number('clients', 64) },
    ...{ seed: number('seed', 1), rests: number('rests', 10), words: positionals },
  };
  const result = await load({
    ...given,
    onRest: (counts, done) => say(`${JSON.stringify(done)}\n  ${JSON.stringify(counts)}`),
  });
  const { samples, faults, done, tasks, interrupted, logged } = result;
  const shown = (value) => (Number.isInteger(value) ? String(value) : value.toFixed(1));
  if (samples.length > 0) {
    const names = Object.keys(samples[0]);
    const rows = [...samples, growth(samples)].map((one, i) => [
      i === samples.length ? 'growth' : `rest ${i + 1}`,
      ...names.map((name) => shown(one[name])),
    ]);
    say(table(['after the kill', ...names], rows));
  }
  const acted = Object.entries(done).map(([name, count]) => `${name} ${count}`);
  say(`done: ${acted.join(', ')}; ${logged} lines of log`);
  say(`${tasks} tasks were accepted for later, ${interrupted} of them unfinished at the kill`);
  for (const fault of faults) say(`FAULT ${fault}`);
  if (faults.length > 0) process.exit(1);
}

if (isMain(import.meta.url)) await main().catch(endWith);
