// Owns the runs of ocelli that peers are compared with: `ocelli bench` in Node, or the same phases in the browser that the
// peer runs in. Called by peers.mjs. Surprise: decoding several streams and the image are processes of their own, as the
// peers' are.
import { join } from 'node:path';
import { root } from '../../../tools/setup/io.mjs';
import { inBrowser } from '../../browser/browser.mjs';

const browser = join(root, 'tests/bench/peers/browser');

/** The calls of `ocelli bench` that give the measures: options each. */
export function callsFor(what, sizes) {
  const calls = [];
  const wants = (name) => what.includes(name);
  if (wants('prompt') || wants('decode')) {
    const [prompt, steps] = [wants('prompt') ? sizes.prompt : 0, wants('decode') ? sizes.new : 0];
    calls.push({ prompt, new: steps, context: 0, batch: 1 });
  }
  if (wants('batch')) calls.push({ prompt: 0, new: sizes.new, context: 0, batch: sizes.batch });
  // Nothing is decoded here: the context is room for the image's tokens and the text around them.
  const context = Math.ceil(sizes.image / 28) ** 2 + 64;
  if (wants('image')) calls.push({ prompt: 0, new: 0, context, batch: 1, image: sizes.image });
  return calls;
}

/** [measure, value] of the figures of one call. */
export function figuresOf(call, figures) {
  const found = [];
  if (call.prompt > 0) found.push(['prompt', figures.prompt_tokens_per_s]);
  if (call.new > 0) found.push([call.batch > 1 ? 'batch' : 'decode', figures.decode_tokens_per_s]);
  if (call.image) found.push(['image', figures.image_ms.vision / 1000]);
  return found;
}

/** One run of everything a group wants, with one tier: [measure, value] each. */
export async function runOcelli({ host, what, sizes, threads, tier, folder, bench }) {
  const found = [];
  for (const call of callsFor(what, sizes)) {
    if (host === 'chromium') {
      const roots = { '/build/': join(root, 'build'), '/page/': browser, '/container/': folder };
      const overlay = { '/build/js/cli/bench_image.js': join(browser, 'no_picture.mjs') };
      const options = { ...call, threads, variant: tier.target };
      const page = '/page/ocelli.html';
      found.push(...figuresOf(call, await inBrowser({ page, options, roots, overlay })));
    } else {
      const sizesOf = Object.entries(call).flatMap(([name, value]) => [`--${name}`, value]);
      const words = ['--variant', tier.target, '--threads', threads, '--repeat', 1, '--json'];
      const all = ['bench', '--model', folder, ...sizesOf, ...words, ...(tier.options ?? [])];
      const out = await bench(tier.flags ?? [], all.map(String));
      found.push(...figuresOf(call, JSON.parse(out)));
    }
  }
  return found;
}
