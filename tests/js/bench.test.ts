// `ocelli bench`: figures that make sense, on a model that is made in a second; and the words it refuses.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { testPicture } from '../../js/cli/bench_image.ts';
import { builtPackage, ocelli, removal, variantNames } from './real_model.ts';

let model = '';
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-bench-'));
  model = join(folder, 'tiny');
  const made = await ocelli(['synth', '--shape', 'tiny', model, '--quiet']);
  expect(made).toMatchObject({ code: 0 });
  return removal(folder);
});
const common = (): string[] => ['bench', '--model', model, '--repeat', '2', '--json'];

it.each(variantNames)('measures every part of a model with %s', async (variant) => {
  const sizes = ['--prompt', '100', '--new', '5', '--context', '300', '--image', '112'];
  const ended = await ocelli([...common(), ...sizes, '--variant', variant, '--threads', '2']);
  expect(ended).toMatchObject({ code: 0 });
  expect(ended.err).toMatch(/1 of 2: prompt, .* tokens\/s/);
  const figures = JSON.parse(ended.out);
  expect(figures).toMatchObject({
    model: 'synth-tiny',
    variant,
    threads: variant.startsWith('mt') ? 2 : 1,
    compute: 'fast',
    node: process.version,
    precision: { linear: 'u4', vision: 'u8', embedding: 'u8' },
    prompt: 100,
    new: 5,
    context: 300,
    batch: 1,
    image_tokens: 16,
  });
  expect(figures.cpu).toEqual(expect.any(String));
  for (const key of ['prompt_tokens_per_s', 'decode_tokens_per_s']) {
    const { min, median, max, values } = figures.repeats[key];
    expect(values.length).toBe(2);
    expect(min).toBeGreaterThan(0);
    expect(min).toBeLessThanOrEqual(median);
    expect(median).toBeLessThanOrEqual(max);
    expect(figures[key]).toBe(median);
  }
  const stages = figures.image_ms;
  expect(Object.keys(stages)).toEqual(['decode', 'resize', 'vision', 'prompt', 'total']);
  for (const ms of Object.values(stages)) expect(ms).toBeGreaterThan(0);
  const [first] = figures.repeats.image_ms.total.values;
  const parts = ['decode', 'resize', 'vision', 'prompt'];
  const sum = parts.reduce((ms, name) => ms + figures.repeats.image_ms[name].values[0], 0);
  expect(sum).toBeCloseTo(first, 6);
  expect(figures.load_ms).toBeGreaterThan(figures.compile_ms);
  expect(figures.host_ms_per_step).toBeGreaterThan(0);
  expect(figures.wasm_memory_bytes % 65536).toBe(0);
  expect(figures.wasm_memory_bytes).toBeGreaterThan(4_000_000);
});

it('leaves out what is not asked for, and counts all sequences of a batch', async () => {
  const sizes = ['--prompt', '0', '--new', '4', '--batch', '9', '--threads', '1'];
  const ended = await ocelli([...common(), ...sizes, '--compute', 'reference']);
  expect(ended).toMatchObject({ code: 0 });
  const figures = JSON.parse(ended.out);
  expect(figures).toMatchObject({
    batch: 9,
    compute: 'reference',
    prompt_tokens_per_s: null,
    image_ms: null,
    repeats: { prompt_tokens_per_s: null, image_ms: null },
  });
  expect(figures.decode_tokens_per_s).toBeGreaterThan(0);
});

it.each([
  [['--context', '200000'], /--context 200000 with --new 32 takes 200033 tokens, .* has \d+/],
  [['--prompt', '200000'], /--prompt 200000 takes 200001 tokens/],
])('refuses what the context cannot hold before it computes: %j', async (words, message) => {
  const ended = await ocelli(['bench', '--model', model, ...words]);
  expect(ended.code).toBe(1);
  expect(ended.err).toMatch(/^ocelli: context_length_exceeded: [^\n]*\n$/);
  expect(ended.err).toMatch(message);
});

it('prints lines for people', async () => {
  const words = ['bench', '--model', model, '--prompt', '40', '--new', '3', '--repeat', '1'];
  const { out } = await ocelli([...words, '--image', '56']);
  expect(out).toMatch(/^synth-tiny, .*threads, fast\n/);
  expect(out).toMatch(/\nprompt of 40 +[\d.]+ tokens\/s \([\d.]+ to [\d.]+\)\n/);
  expect(out).toMatch(/\nimage of 56 px, 4 tokens\n {2}decode/);
});

it.each([
  [['--prompt', '3'], 1, /a prompt of 3 tokens is too short: the chat template alone has \d+/],
  [['--context', '1000000'], 1, /context/],
  [['--variant', 'none'], 2, /--variant is "none"/],
  [['--batch', '0'], 2, /--batch is "0"; it must be an integer, at least 1/],
  [['--image', '10'], 2, /--image is "10"; it must be an integer, from 28 to 8000/],
  [['words'], 2, /unexpected operand "words"/],
])('refuses %j', async (words, code, message) => {
  const ended = await ocelli([...common(), ...words]);
  expect([ended.code, ended.out]).toEqual([code, '']);
  expect(ended.err).toMatch(message);
});

it('draws pictures that the core can decode, each another one', async () => {
  const lib = await builtPackage();
  const [variant] = variantNames;
  const ai = lib.createAI({ model, ...(variant && { variant }), thread: 'inline', threads: 1 });
  const url = (seed: number): string =>
    `data:image/png;base64,${Buffer.from(testPicture(60, seed)).toString('base64')}`;
  const content = [1, 2].map((seed) => ({ type: 'image_url', image_url: { url: url(seed) } }));
  const answer = await ai.run(null, {
    messages: [{ role: 'user', content: [...content, { type: 'text', text: 'hi' }] }],
    max_tokens: 1,
  });
  expect(answer.usage.completion_tokens).toBe(1);
  expect(url(1)).not.toBe(url(2));
  await ai.close();
});
