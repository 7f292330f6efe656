// Owns `npm run bench -- --peers`: sets the peers up, runs them in turn with ocelli, round after round, and gathers samples.
// Called by run.mjs. Surprise: a peer that cannot be set up or run is named with its error and left out; the others go on.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { build } from '../../../tools/build.mjs';
import { SetupError, say } from '../../../tools/setup/io.mjs';
import { tiers } from '../kernels.mjs';
import { ocelli, synthetic } from '../model.mjs';
import { chart } from './chart.mjs';
import { chromiumVersion } from '../../browser/browser.mjs';
import { llamaCpp, llamaCppNoAmx } from './llama_cpp.mjs';
import { nodeLlamaCpp } from './node_llama_cpp.mjs';
import { runOcelli } from './ocelli_side.mjs';
import { ortInt4, ortInt8 } from './ort.mjs';
import { compared, machineLine, orderOf } from './ratios.mjs';
import { wllama } from './wllama.mjs';

/**
 * The peers, in the order of tables. Each has a name, a note, the measures it has and their sizes, the host and the tiers of
 * ocelli that it is compared with, version(), and setUp(what), which resolves to { run({ what, threads, sizes }) }; run
 * gives [measure, value] pairs. unfit() may say why a peer makes no sense on this machine.
 */
export const peers = [llamaCpp, llamaCppNoAmx, wllama, ortInt8, ortInt4, nodeLlamaCpp];

/** The peers of `--peers NAMES`; all for "all". */
export function chosenPeers(names) {
  if (names === 'all') return peers;
  return names.split(',').map((name) => {
    const peer = peers.find((one) => one.name === name);
    if (peer) return peer;
    const known = peers.map((one) => one.name).join(', ');
    throw new SetupError(`there is no peer "${name}": ${known}`);
  });
}

/** The measures of `--measures NAMES` that a peer has. */
const wantedOf = (peer, measures) => peer.what.filter((what) => measures?.includes(what) ?? true);

async function setUpAll(chosen, measures, failed) {
  const ready = [];
  for (const peer of chosen) {
    const what = wantedOf(peer, measures);
    try {
      const reason = peer.unfit?.() ?? (what.length === 0 ? 'it has none of the measures' : null);
      if (reason) {
        say(`${peer.name}: left out, ${reason}`);
        failed.push({ name: peer.name, error: reason });
        continue;
      }
      say(`setting up ${peer.name}`);
      ready.push({ ...peer, ...(await peer.setUp(what)), what, group: groupOf(peer) });
    } catch (error) {
      fail(failed, peer.name, error);
    }
  }
  return ready;
}

function fail(failed, name, error) {
  if (!(error instanceof SetupError)) say(error.stack ?? String(error));
  say(`${name}: left out, ${error.message}`);
  failed.push({ name, error: error.message });
}

/** Peers of one group run beside the same runs of ocelli. */
const groupOf = ({ host, tiers: names, sizes }) => JSON.stringify([host, names, sizes]);

/** Everything that run.mjs keeps of the peers: who took part, samples, ratios. */
export async function benchPeers({ chosen, measures, names, threads, rounds, model, shape, node }) {
  const wasm = Object.keys(tiers).filter((name) => name !== 'native' && names.includes(name));
  await build([...new Set(wasm.map((name) => tiers[name].target))], ['ocelli']);
  await build(['st-simd128', 'js'], ['ocelli', 'ocelli_convert']); // what makes the container
  const folder = model ?? (await synthetic(node, shape));
  const failed = [];
  const ready = await setUpAll(chosen, measures, failed);
  const samples = [];
  const run = { ready, failed, samples, wasm, folder, node };
  for (let round = 0; round < rounds; round++) {
    for (const count of threads) {
      const title = `round ${round + 1} of ${rounds}, ${count} thread${count === 1 ? '' : 's'}`;
      for (const { who, group } of orderOf(ready, round)) {
        const place = { title, round, group, threads: count };
        if (who === 'ocelli') await ownTurn(run, place);
        else await peerTurn(run, place, who);
      }
    }
  }
  const about = ({ name, note, sizes, host, version }) => {
    return { name, note, sizes, host, version: version() };
  };
  const took = chosen.filter((peer) => samples.some(({ who }) => who === peer.name)).map(about);
  const browser = took.some(({ host }) => host === 'chromium') && { chromium: chromiumVersion() };
  return { rounds, peers: took, ...browser, failed, compared: compared(samples), samples };
}

function add({ samples }, { title, ...place }, who, tier, pairs) {
  for (const [what, value] of pairs) {
    samples.push({ ...place, at: samples.length, who, tier, what, value });
    say(`${title}: ${who}${tier ? ` ${tier}` : ''}, ${what} ${value.toPrecision(4)}`);
  }
}

/** A run of ocelli with each tier, of all that the group's peers measure. */
async function ownTurn(run, place) {
  const { ready, failed, wasm, folder, node } = run;
  const here = ready.filter(({ group }) => group === place.group);
  if (here.length === 0) return;
  const what = [...new Set(here.flatMap((peer) => peer.what))];
  const { host, sizes, tiers: wanted } = here[0];
  const bench = (flags, words) => ocelli(node, flags, words);
  for (const name of wanted.filter((one) => wasm.includes(one))) {
    const own = { host, what, sizes, threads: place.threads, tier: tiers[name], folder, bench };
    try {
      add(run, place, 'ocelli', name, await runOcelli(own));
    } catch (error) {
      fail(failed, `ocelli ${name} in ${host}, ${place.title}`, error);
    }
  }
}

/** A run of a peer, which is out for the rest when it fails. */
async function peerTurn(run, place, who) {
  const { ready, failed, node } = run;
  const peer = ready.find(({ name }) => name === who);
  if (!peer) return;
  const { what, sizes } = peer;
  try {
    const pairs = await peer.run({ what, sizes, threads: place.threads, node });
    add(run, place, who, undefined, pairs);
  } catch (error) {
    fail(failed, who, error);
    ready.splice(ready.indexOf(peer), 1);
  }
}

/** Writes the chart and returns where. */
export function writeChart(results, machine, file) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, chart(results, machineLine(results, machine)));
  return file;
}
