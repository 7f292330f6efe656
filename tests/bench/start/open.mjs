// Owns `npm run bench -- open`: how fast a model that is there already is opened, from disk in Node, from OPFS and the Cache
// API in Chromium, in GB/s beside a plain read of the same bytes, and beside reading and hashing them, in the same process.
// Called by run.mjs. Surprise: opening includes starting threads, compiling, and the first use of all of the memory, which
// a plain read into one small buffer has not; and "disk" means that the page cache was told to forget the files first.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from '../../../tools/setup/io.mjs';
import { setup } from '../../../tools/setup.mjs';
import { inBrowser } from '../../browser/browser.mjs';
import { short, spread, table } from '../figures.mjs';
import { synthetic } from '../model.mjs';
import { output, touch } from './process.mjs';

const here = join(root, 'tests/bench/start');

/** The page cache forgets what is in `folder`. */
function forget(folder) {
  for (const name of readdirSync(folder))
    spawnSync('dd', [`if=${join(folder, name)}`, 'iflag=nocache', 'count=0', 'status=none']);
}

async function inNode(node, folder, threads, rounds, cold) {
  const samples = [];
  for (let round = 0; round < rounds; round++) {
    const one = {};
    for (const what of ['read', 'hash', 'open']) {
      say(`Node${cold ? ', disk' : ''}, round ${round + 1}: ${what}`);
      await output(node, ['-e', touch]);
      if (cold) forget(folder);
      const options = JSON.stringify({ what, folder, threads });
      Object.assign(one, JSON.parse(await output(node, [join(here, 'open_run.mjs'), options])));
    }
    samples.push(one);
  }
  return samples;
}

function inChromium(folder, cache, threads, rounds) {
  say(`Chromium, ${cache}`);
  const roots = {
    '/build/': join(root, 'build'),
    '/page/': here,
    '/report/': join(root, 'tests/bench/peers/browser'),
    '/container/': folder,
  };
  return inBrowser({ page: '/page/open.html', options: { cache, threads, rounds }, roots });
}

export async function benchOpen(words) {
  const text = { type: 'string' };
  const options = { model: text, node: text, rounds: text, threads: text, where: text };
  const { values } = parseArgs({ args: words, options });
  const node = values.node ?? (await setup(['tests'])).node_relaxed;
  const folder = values.model ?? (await synthetic(node, '3b'));
  const threads = Number(values.threads ?? 2);
  const rounds = Number(values.rounds ?? 3);
  const ways = {
    disk: () => inNode(node, folder, threads, rounds, true),
    memory: () => inNode(node, folder, threads, rounds, false),
    opfs: () => inChromium(folder, 'opfs', threads, rounds),
    'cache-api': () => inChromium(folder, 'cache-api', threads, rounds),
  };
  const names = {
    disk: 'Node, disk',
    memory: 'Node, page cache',
    opfs: 'Chromium, OPFS',
    'cache-api': 'Chromium, Cache API',
  };
  const rows = [];
  for (const where of (values.where ?? Object.keys(ways).join(',')).split(',')) {
    const samples = await ways[where]();
    const most = (what) => spread(samples.map((one) => one.bytes / one[what] / 1e6)).max;
    const [read, hash, open] = ['read', 'hash', 'open'].map(most);
    const percent = `${Math.round((100 * open) / hash)} %`;
    rows.push([names[where], ...[read, hash, open].map(short), percent]);
  }
  const head = ['GB/s, best', 'plain read', 'read and hash', 'open', 'of read and hash'];
  console.log(`\n${table(head, rows)}`);
}
