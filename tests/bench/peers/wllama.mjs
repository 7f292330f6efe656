// Owns the browser peer: wllama as its package ships it, in headless Chromium with threads. Called by peers.mjs. Surprise: its
// prompt is short, since it computes a token a second; it takes prompt tokens one row at a time, so longer ones are no faster.
import { basename, dirname, join } from 'node:path';
import { root } from '../../../tools/setup/io.mjs';
import { chromium, inBrowser } from '../../browser/browser.mjs';
import { npmPackage, pinned } from './fetch.mjs';
import { textModel } from './gguf_models.mjs';
import { vocabulary } from './llama_cpp.mjs';

async function setUp() {
  chromium(); // named as missing before gigabytes are written
  const wllama = await npmPackage('@wllama/wllama');
  const files = await textModel(36, await vocabulary());
  const roots = {
    '/wllama/': wllama,
    '/page/': join(root, 'tests/bench/peers/browser'),
    '/model/': dirname(files[0]),
  };
  const run = async ({ what, threads, sizes }) => {
    const options = { files: files.map((file) => basename(file)), threads, ...sizes };
    const figures = await inBrowser({ page: '/page/wllama.html', options, roots });
    return Object.entries(figures).filter(([name]) => what.includes(name));
  };
  return { run };
}

export const wllama = {
  name: 'wllama',
  note: 'as shipped, Chromium, Q4_0',
  host: 'chromium',
  tiers: ['relaxed', 'simd128'],
  what: ['decode', 'prompt'],
  sizes: { prompt: 64, new: 8 },
  version: () => pinned('npm', '@wllama/wllama'),
  setUp,
};
