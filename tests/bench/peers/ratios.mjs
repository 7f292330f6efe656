// Owns what is made of the samples of peers and of ocelli: which run of ocelli each is compared with, ratios, tables. Used by
// peers.mjs and table.mjs. Surprise: a ratio is taken within one round, with the run of ocelli next to the peer's, and its
// least, middle and greatest value are over rounds; it is no quotient of two medians.
import { short, spread, table } from '../figures.mjs';

/** What is measured: how it is called, its unit, and whether more of it is better. */
export const measures = {
  decode: { title: 'decode', unit: 'tokens/s', more: true },
  prompt: { title: 'prompt', unit: 'tokens/s', more: true },
  batch: { title: 'several at once, all', unit: 'tokens/s', more: true },
  image: { title: 'image, vision tower', unit: 's', more: false },
};

/** The name of a measure with its size: "prompt of 512". */
export function titleOf(what, sizes) {
  if (what === 'prompt') return `prompt of ${sizes.prompt}`;
  if (what === 'batch') return `${sizes.batch} streams at once`;
  if (what === 'image') return `${sizes.image} px image, vision tower`;
  return measures[what].title;
}

/**
 * The order of one round: the peers of a group (which compare with the same runs of ocelli) in turn with ocelli, so that each
 * has a run of ocelli right before or after it. Peers are { name, group }; odd rounds go backwards.
 */
export function orderOf(peers, round) {
  const order = [];
  for (const group of [...new Set(peers.map((peer) => peer.group))]) {
    const here = peers.filter((peer) => peer.group === group);
    here.forEach(({ name }, i) => {
      order.push({ who: name, group });
      if (here.length === 1 || i < here.length - 1) order.push({ who: 'ocelli', group });
    });
  }
  return round % 2 === 0 ? order : order.reverse();
}

/** How many times better ocelli is: above 1 it wins, whatever the unit. */
export function ratio(what, own, theirs) {
  return measures[what].more ? own / theirs : theirs / own;
}

/**
 * From samples { round, at, group, who, tier, threads, what, value } (`at`: place in the run; `tier` only of ocelli's), for each
 * peer, measure, number of threads and tier: { peer, what, threads, tier, theirs, own, ratio }, each a spread.
 */
export function compared(samples) {
  const found = new Map();
  for (const theirs of samples.filter(({ who }) => who !== 'ocelli')) {
    const { who: peer, what, threads } = theirs;
    const beside = samples.filter(
      (one) =>
        one.who === 'ocelli' &&
        ['round', 'group', 'threads', 'what'].every((name) => one[name] === theirs[name]),
    );
    for (const tier of new Set(beside.map((one) => one.tier))) {
      const own = beside
        .filter((one) => one.tier === tier)
        .reduce((best, one) => (distance(one, theirs) < distance(best, theirs) ? one : best));
      const name = JSON.stringify([peer, what, threads, tier]);
      if (!found.has(name))
        found.set(name, { peer, what, threads, tier, theirs: [], own: [], ratio: [] });
      const row = found.get(name);
      row.theirs.push(theirs.value);
      row.own.push(own.value);
      row.ratio.push(ratio(what, own.value, theirs.value));
    }
  }
  return [...found.values()].map((row) => ({
    ...row,
    theirs: spread(row.theirs),
    own: spread(row.own),
    ratio: spread(row.ratio),
  }));
}

const distance = (one, other) => Math.abs(one.at - other.at);

const range = ({ min, median, max }) => [`${short(median)}x`, `${short(min)}x`, `${short(max)}x`];

function sectionsOf(results) {
  const titles = [...new Set(results.compared.map(({ peer }) => peer))];
  return titles.map((name) => {
    const rows = results.compared.filter(({ peer }) => peer === name);
    return { peer: results.peers.find((peer) => peer.name === name), rows };
  });
}

/** Tables for people, one a peer, and who is missing. */
export function peerTables(results) {
  const tables = sectionsOf(results).map(({ peer, rows }) => {
    const head = [
      `${peer.name} ${peer.version}`,
      'threads',
      'peer',
      'ocelli',
      'ratio',
      'min',
      'max',
    ];
    const lines = rows.map(({ what, threads, tier, theirs, own, ratio: times }) => [
      `${titleOf(what, peer.sizes)}, ${measures[what].unit}; ocelli ${tier}`,
      String(threads),
      short(theirs.median),
      short(own.median),
      ...range(times),
    ]);
    return table(head, lines);
  });
  return [...tables, ...results.failed.map(({ name, error }) => `${name}: left out, ${error}`)];
}

/** The same as Markdown with the machine named: what README.md shows. */
export function markdown(results, machine) {
  const lines = [
    '| compared with | measure | threads | it | ocelli | ocelli / it (least to greatest) |',
    '|---|---|---|---|---|---|',
  ];
  for (const { peer, rows } of sectionsOf(results)) {
    for (const { what, threads, tier, theirs, own, ratio: times } of rows) {
      const [median, min, max] = range(times);
      const { unit } = measures[what];
      const name = `${peer.name} ${peer.version}${peer.note ? ` (${peer.note})` : ''}`;
      const cells = [
        name,
        titleOf(what, peer.sizes),
        threads,
        `${short(theirs.median)} ${unit}`,
        `${short(own.median)} ${unit}, ${tier}`,
        `**${median}** (${min} to ${max})`,
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
  }
  return `${lines.join('\n')}\n\n${machineLine(results, machine)}\n`;
}

/** The machine, and how often everything was run. */
export function machineLine(results, machine) {
  const rounds = `${results.rounds} round${results.rounds === 1 ? '' : 's'}`;
  const flags = machine.cpu_flags.join(', ');
  const chromium = results.chromium ? `, ${results.chromium}` : '';
  const memory = `${Math.round(machine.memory_bytes / 2 ** 30)} GiB`;
  return (
    `${machine.cpu} (${flags}), ${machine.cores} processors, ${memory}, ${machine.os}, Node ${machine.node}${chromium}; ` +
    `${machine.date.slice(0, 10)}, ${rounds}, medians, load average ${machine.load_average.toFixed(2)} at the start.`
  );
}
