// Owns what guessed tokens are worth: answers that are given (forced_token_ids), with guesses and without, in turns. Stands alone:
//   node tests/bench/guess.mjs MODEL [--rounds N] [--tokens N] [--variant NAME] [--only NAME,..] [--costs]
// after `npm run build`; MODEL from `ocelli synth --shape 3b`. Surprise: the model's weights say nothing, so the answers are what
// a trained one could have said; with --costs, what a step of 1 to 8 decoding rows takes.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadCore } from '../../build/js/abi/load.js';
import { parseManifest } from '../../build/js/weights/manifest.js';
import { moverHere, placeShards } from '../../build/js/weights/place.js';
import { sourceFrom } from '../../build/js/weights/source.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '100' },
    threads: { type: 'string', default: '2' },
    variant: { type: 'string', default: 'mt-relaxed' },
    only: { type: 'string' },
    costs: { type: 'boolean', default: false },
  },
});
if (positionals.length !== 1) {
  console.error(
    'usage: node tests/bench/guess.mjs MODEL [options]; `ocelli synth --shape 3b MODEL` writes one',
  );
  process.exit(2);
}
const rounds = Number(values.rounds);
const tokensMax = Number(values.tokens);

let state = 7;
const number = (from, to) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return from + Math.floor((state / 2 ** 32) * (to - from));
};
const times = (count, make) => Array.from({ length: count }, (_, i) => make(i));
const kinds = ['person', 'car', 'cake', 'traffic light', 'dog'];
const box = () => {
  const [x, y] = [number(0, 900), number(0, 700)];
  return `[${x}, ${y}, ${x + number(20, 300)}, ${y + number(20, 300)}]`;
};
const call = (city) =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}", "unit": "celsius"}}\n</tool_call>`;
const source = readFileSync(new URL('../../js/errors.ts', import.meta.url), 'utf8').slice(0, 1500);
const prose = readFileSync(new URL('../../CONTRIBUTING.md', import.meta.url), 'utf8').slice(400);
/** name -> prompt, answer */
const texts = {
  boxes: [
    'Detect all objects in the image and return their locations in the form of JSON.',
    `\`\`\`json\n[\n${times(12, () => `\t{"bbox_2d": ${box()}, "label": "${kinds[number(0, 5)]}"}`).join(',\n')}\n]\n\`\`\``,
  ],
  'two calls': [
    '{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": ' +
      '"string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}, "required": ["city"]}}}\nHow is the weather ' +
      'in Lisbon and Quito, in celsius?',
    `${call('Lisbon')}\n${call('Quito')}`,
  ],
  receipt: [
    'Read the receipt and give its lines as JSON.',
    JSON.stringify(
      times(9, () => ({
        name: kinds[number(0, 5)],
        quantity: number(1, 5),
        price: number(100, 3000) / 100,
      })),
    ),
  ],
  copy: [`Mend this file:\n${source}`, source.replaceAll('message', 'words')],
  prose: ['How is a change sent?', prose],
  digits: ['Say digits.', times(400, () => number(0, 10)).join('')],
};

async function open(guess) {
  const weights = sourceFrom(positionals[0]);
  const bytes = await weights.manifest();
  const core = await loadCore({ threads: Number(values.threads), variant: values.variant });
  const options = { threads: core.threads, context: 4096, guess };
  const engine = core.calls.open(bytes, options);
  await placeShards(core.calls, engine, parseManifest(bytes), moverHere(core.calls, weights), {});
  return { engine, calls: core.calls };
}

/** Milliseconds, steps and tokens after the first token of each answer. */
function run({ engine, calls }, answers) {
  const waiting = new Set(
    answers.map(({ prompt, ids }) =>
      calls.requestOpen(
        engine,
        JSON.stringify({ prompt, temperature: 0, max_tokens: ids.length, forced_token_ids: ids }),
      ),
    ),
  );
  const handles = [...waiting];
  const sum = { ms: 0, steps: 0, tokens: 0 };
  for (let ended = 0; ended < handles.length; ) {
    const counts = waiting.size === 0;
    const start = performance.now();
    calls.step(engine);
    if (counts) sum.ms += performance.now() - start;
    if (counts) sum.steps++;
    for (let next = calls.nextEvent(engine); next; next = calls.nextEvent(engine)) {
      const { type, tokens = 0 } = next.event;
      if (type === 'delta') waiting.delete(next.request);
      if (type === 'delta' && counts) sum.tokens += tokens;
      if (type === 'done') ended++;
    }
  }
  for (const handle of handles) calls.requestClose(engine, handle);
  return sum;
}

const sorted = (list) => [...list].sort((a, b) => a - b);
const median = (list) => sorted(list)[list.length >> 1];

const off = await open(false);
if (values.costs) {
  const ids = times(12, (i) => 1000 + i);
  const of = times(9, () => []);
  for (let round = 0; round <= rounds; round++) {
    for (let rows = 1; rows <= 8; rows++) {
      const { ms, steps } = run(
        off,
        times(rows, (i) => ({ prompt: `Say ${round * 8 + i}.`, ids })),
      );
      if (round > 0) of[rows].push(ms / steps);
    }
  }
  const one = sorted(of[1])[0];
  for (const [rows, list] of of.entries()) {
    if (rows === 0) continue;
    const [least] = sorted(list);
    console.log(
      `${rows} rows: ${least.toFixed(0)} ms (median ${median(list).toFixed(0)}), ${(least / one).toFixed(2)} of one`,
    );
  }
  process.exit(0);
}

const on = await open(true);
for (const side of [on, off]) run(side, [{ prompt: 'Hello', ids: times(8, (i) => 900 + i) }]);
const names = values.only?.split(',') ?? Object.keys(texts);
const measured = new Map(names.map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (const name of names) {
    const [prompt, answer] = texts[name];
    const ids = off.calls.tokenize(off.engine, answer, true).slice(0, tokensMax);
    const sides = { on, off };
    const order = round % 2 ? ['off', 'on'] : ['on', 'off'];
    const both = Object.fromEntries(
      order.map((side) => [side, run(sides[side], [{ prompt, ids }])]),
    );
    measured.get(name).push(both);
  }
}
for (const [name, list] of measured) {
  const ratios = sorted(list.map((both) => both.off.ms / both.on.ms));
  const each = (side) => median(list.map((both) => both[side].ms / both[side].tokens)).toFixed(0);
  const { tokens, steps } = list[0].on;
  console.log(
    `${name.padEnd(10)} ${(tokens / steps).toFixed(2)} tokens a step, ${each('off')} -> ${each('on')} ms a token, ` +
      `x${ratios[0].toFixed(2)} least, x${median(ratios).toFixed(2)} median`,
  );
}
process.exit(0);
