// Owns `npm run bench -- --peers`: sets the peers up, runs them in turn with ocelli, round after round, and gathers samples.
// Called by run.mjs. Surprise: a peer that cannot be set up or run is named with its error and left out; the others go on.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { build } from '../../../tools/build.mjs';
import { SetupError, say } from '../../../tools/setup/io.mjs';
import { tiers } from '../kernels.mjs';
import { ocelli, synthetic } from '../model.mjs';
import { chart } from './chart.mjs';
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
  let ready = await setUpAll(chosen, measures, failed);
  const samples = [];
  for (let round = 0; round < rounds; round++) {
    for (const count of threads) {
      for (const { who, group } of orderOf(ready, round)) {
        const here = ready.filter((peer) => peer.group === group);
        const title = `round ${round + 1} of ${rounds}, ${count} thread${count === 1 ? '' : 's'}`;
        const add = (tier, pairs) => {
          for (const [what, value] of pairs) {
            const at = samples.length;
            samples.push({ round, at, group, who, tier, threads: count, what, value });
            say(`${title}: ${who}${tier ? ` ${tier}` : ''}, ${what} ${value.toPrecision(4)}`);
          }
        };
        if (who === 'ocelli' && here.length > 0) {
          const what = [...new Set(here.flatMap((peer) => peer.what))];
          const { host, sizes, tiers: wanted } = here[0];
          const bench = (flags, words) => ocelli(node, flags, words);
          for (const tier of wanted.filter((name) => wasm.includes(name))) {
            const own = { host, what, sizes, threads: count, tier: tiers[tier], folder, bench };
            add(tier, await runOcelli(own));
          }
        } else if (who !== 'ocelli') {
          const peer = here.find(({ name }) => name === who);
          if (!peer) continue; // it failed in an earlier round
          try {
            add(
              undefined,
              await peer.run({ what: peer.what, threads: count, sizes: peer.sizes, node }),
            );
          } catch (error) {
            fail(failed, who, error);
            ready = ready.filter((one) => one !== peer);
          }
        }
      }
    }
  }
  const about = ({ name, note, sizes, host, version }) => ({
    ...{ name, note, sizes, host, version: version() },
  });
  const took = chosen.filter((peer) => samples.some(({ who }) => who === peer.name)).map(about);
  return { rounds, peers: took, failed, compared: compared(samples), samples };
}

/** Writes the chart and returns where. */
export function writeChart(results, machine, file) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, chart(results, machineLine(results, machine)));
  return file;
}
