// The pure parts of `npm run bench -- --peers`: the order of runs, ratios, tables, the chart, the formats that are written.
import { readFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { removal, variantNames } from '../../js/real_model.ts';
import { load, type Results } from './modules.ts';

const { compared, markdown, orderOf, peerTables, ratio } = await load('ratios.mjs');
const { chart, ticksOf } = await load('chart.mjs');
const { halfOf, key, rawKeys, tensorBytes, writeGguf } = await load('gguf.mjs');
const { partsOf } = await load('gguf_models.mjs');
const { fileOf } = await load('../../browser/browser.mjs');
const { callsFor, figuresOf } = await load('ocelli_side.mjs');
const { jsonLines } = await load('process.mjs');
const { measure } = await load('browser/ocelli_phases.mjs');
const onnx = await load('onnx.mjs');
const { chosenPeers, peers } = await load('peers.mjs');

const machine = {
  cpu: 'A <CPU> & more',
  cpu_flags: ['avx2'],
  cores: 2,
  memory_bytes: 8 * 2 ** 30,
  os: 'linux 6',
  node: 'v24.1.0',
  load_average: 0.1,
  date: '2026-11-21T10:00:00.000Z',
};

/** Two rounds of a peer with ocelli beside it: 10, 12 tokens/s against 8, 6; 2 s against 5 s. */
function results(): Results {
  let at = 0;
  const of = (
    round: number,
    who: string,
    tier: string | undefined,
    what: string,
    value: number,
  ) => ({
    ...{ round, at: at++, group: 'g', who, tier, threads: 2, what, value },
  });
  const samples = [
    of(0, 'one', undefined, 'decode', 8),
    of(0, 'ocelli', 'relaxed', 'decode', 10),
    of(0, 'ocelli', 'relaxed', 'image', 2),
    of(0, 'one', undefined, 'image', 5),
    of(1, 'one', undefined, 'decode', 6),
    of(1, 'ocelli', 'relaxed', 'decode', 12),
  ];
  const peers = [
    { name: 'one', version: '1.2', note: 'native', sizes: { prompt: 512, image: 896 } },
  ];
  const failed = [{ name: 'two', error: 'not here' }];
  return { rounds: 2, peers, failed, compared: compared(samples) };
}

describe('peers', () => {
  it('are chosen by name, all of them by "all"', () => {
    expect(chosenPeers('all')).toEqual(peers);
    expect(chosenPeers('wllama,llama.cpp').map(({ name }) => name)).toEqual([
      'wllama',
      'llama.cpp',
    ]);
    expect(() => chosenPeers('wllama,none')).toThrow('there is no peer "none": llama.cpp, ');
  });

  it('have prompts with room for the chat template around ours', () => {
    for (const { sizes } of peers) expect(sizes.prompt).toBeGreaterThan(32);
  });
});

describe('orderOf', () => {
  const peers = [
    { name: 'a', group: 'g' },
    { name: 'b', group: 'g' },
    { name: 'c', group: 'h' },
  ];
  const names = (round: number): string[] => orderOf(peers, round).map(({ who }) => who);

  it('has a run of ocelli next to every peer', () => {
    expect(names(0)).toEqual(['a', 'ocelli', 'b', 'c', 'ocelli']);
  });

  it('goes backwards every other round', () => {
    expect(names(1)).toEqual(['ocelli', 'c', 'b', 'ocelli', 'a']);
  });
});

describe('compared', () => {
  it('takes ratios within a round, above 1 where ocelli is better', () => {
    const rows = results().compared;
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject({
      peer: 'one',
      what: 'decode',
      tier: 'relaxed',
      threads: 2,
      theirs: { median: 7 },
      own: { median: 11 },
      ratio: { min: 1.25, median: 1.625, max: 2, samples: 2 },
    });
    expect(rows[1]!.ratio.median).toBe(2.5);
    expect(ratio('prompt', 3, 2)).toBe(1.5);
    expect(ratio('image', 3, 2)).toBeCloseTo(2 / 3);
  });

  it('compares with the nearest run of the same round, threads and group', () => {
    const one = {
      round: 0,
      group: 'g',
      who: 'ocelli',
      tier: 'relaxed',
      threads: 1,
      what: 'decode',
    };
    const rows = compared([
      { ...one, at: 0, value: 100 },
      { ...one, at: 4, value: 20 },
      { ...one, at: 5, who: 'peer', tier: undefined, value: 10 },
      { ...one, at: 6, round: 1, value: 1000 },
      { ...one, at: 6, threads: 2, value: 1000 },
      { ...one, at: 6, group: 'h', value: 1000 },
    ]);
    expect(rows).toHaveLength(1);
    expect(rows[0]!.ratio).toMatchObject({ min: 2, max: 2 });
  });

  it('has nothing for a peer without a run of ocelli', () => {
    const alone = {
      round: 0,
      at: 0,
      group: 'g',
      who: 'peer',
      threads: 1,
      what: 'decode',
      value: 1,
    };
    expect(compared([alone])).toEqual([]);
  });
});

describe('tables', () => {
  it('shows a peer with its ratios to people', () => {
    const [text, ...more] = peerTables(results());
    expect(more).toEqual(['two: left out, not here']);
    expect(text).toMatch(/^one 1\.2 +threads +peer +ocelli +ratio +min +max\n/);
    expect(text).toMatch(
      /decode, tokens\/s; ocelli relaxed +2 +7\.00 +11\.0 +1\.63x +1\.25x +2\.00x/,
    );
    expect(text).toContain('896 px image, vision tower, s; ocelli relaxed');
  });

  it('gives Markdown with the machine', () => {
    const lines = markdown(results(), machine).split('\n');
    expect(lines).toContain(
      '| one 1.2 (native) | decode | 2 | 7.00 tokens/s | 11.0 tokens/s, relaxed | **1.63x** (1.25x to 2.00x) |',
    );
    expect(new Set(lines.slice(0, 4).map((line) => line.split('|').length))).toEqual(new Set([8]));
    expect(lines.join('\n')).toContain(
      '2 processors, 8 GiB, linux 6, Node v24.1.0; 2026-11-21, 2 rounds',
    );
  });
});

describe('chart', () => {
  it('begins bars at 1 and ends them at the median', () => {
    const image = chart(results(), machine.cpu);
    expect(image.startsWith('<svg xmlns=')).toBe(true);
    expect(image).toContain('A &#60;CPU&#62; &#38; more');
    const ticks = ticksOf(results().compared);
    expect(ticks).toEqual([0.5, 1, 2, 5]);
    const bars = [
      ...image.matchAll(/<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="12" fill/g),
    ];
    const numbers = bars.slice(1).map((bar) => [Number(bar[1]), Number(bar[2])]);
    const unit = 420 / Math.log(10);
    const one = 430 + unit * Math.log(2);
    expect(numbers).toHaveLength(2);
    expect(numbers[0]![0]).toBeCloseTo(one, 0);
    expect(numbers[0]![1]).toBeCloseTo(unit * Math.log(1.625), 0);
    expect(numbers[1]![1]).toBeCloseTo(unit * Math.log(2.5), 0);
  });

  it('keeps 1 inside the axis when all ratios lie on one side', () => {
    const row = (least: number, most: number) => ({
      ratio: { min: least, median: least, max: most },
    });
    expect(ticksOf([row(30, 70)])).toEqual([0.5, 1, 2, 5, 10, 20, 50, 100]);
    expect(ticksOf([row(0.3, 0.4)])).toEqual([0.2, 0.5, 1, 2]);
  });
});

describe('GGUF files', () => {
  it('keeps keys and places tensors where it says', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ocelli-gguf-'));
    const file = join(folder, 'a.gguf');
    try {
      const keys = new Map([
        ['a.text', key('text', 'é')],
        ['a.list', key('i32', [1, -2])],
        ['a.words', key('text', ['x', 'yz'])],
      ]);
      const tensors = [
        { name: 'n', type: 'f32', shape: [5], scale: 0, mean: 1 },
        { name: 'q', type: 'q4_0', shape: [64, 3], scale: 0.1 },
      ];
      writeGguf(file, keys, tensors);
      expect(new Map(rawKeys(file))).toEqual(keys);
      const bytes = readFileSync(file);
      expect(bytes.length % 32).toBe(0);
      // 20 bytes and 108 bytes, each filled up to whole 32s.
      const data = bytes.subarray(bytes.length - 32 - 128);
      expect(data.readFloatLE(0)).toBe(1);
      expect(data.readUInt16LE(32)).toBe(halfOf(0.1 / 4.6));
      expect(data.subarray(32 + 108).every((byte) => byte === 0)).toBe(true);
    } finally {
      removal(folder)();
    }
  });

  it('knows the size of blocks, and refuses half of one', () => {
    expect(tensorBytes({ type: 'q6_k', shape: [2048, 3] })).toBe(3 * 8 * 210);
    expect(() => tensorBytes({ type: 'q4_0', shape: [40, 32] })).toThrow('no whole blocks of q4_0');
  });

  it('rounds to f16', () => {
    expect([1, -2, 0.1, 65504, 0].map(halfOf)).toEqual([0x3c00, 0xc000, 0x2e66, 0x7bff, 0]);
    expect(() => halfOf(1e6)).toThrow('too large for f16');
  });

  it('cuts models into parts below a limit, with all tensors in order', () => {
    const tensors = [3, 4, 5, 20, 1].map((size) => ({ type: 'f32', shape: [size] }));
    const parts = partsOf(tensors, 32);
    expect(parts.flat()).toEqual(tensors);
    expect(parts.map((part) => part.length)).toEqual([2, 1, 1, 1]);
  });
});

describe('ONNX files', () => {
  it('writes messages as protocol buffers', () => {
    const bytes = onnx.node('com.microsoft:X', ['a', ''], ['b'], { K: 300 });
    const expected = [
      ...[0x0a, 35, 0x0a, 1, 0x61, 0x0a, 0, 0x12, 1, 0x62, 0x22, 1, 0x58],
      ...[0x2a, 9, 0x0a, 1, 0x4b, 0x18, 0xac, 0x02, 0xa0, 0x01, 2],
      ...[0x3a, 13, ...Buffer.from('com.microsoft')],
    ];
    expected[1] = expected.length - 2;
    expect([...bytes]).toEqual(expected);
  });
});

describe('the server for a page', () => {
  const roots = { '/a/': '/srv/a', '/b/': '/srv/b' };

  it('finds files below its folders only', () => {
    expect(fileOf('/a/x/y.js', roots)).toBe('/srv/a/x/y.js');
    expect(fileOf('/c/x', roots)).toBeNull();
    expect(fileOf('/a/../../etc/passwd', roots)).toBeNull();
    expect(fileOf('/a/%2e%2e/x', roots)).toBeNull();
    expect(fileOf('/a/x.js', roots, { '/a/x.js': '/other' })).toBe('/other');
  });
});

describe("ocelli's side", () => {
  it('makes one call for what one process measures', () => {
    const sizes = { prompt: 512, new: 32, batch: 8, image: 896 };
    expect(callsFor(['decode', 'prompt', 'batch', 'image'], sizes)).toEqual([
      { prompt: 512, new: 32, context: 0, batch: 1 },
      { prompt: 0, new: 32, context: 0, batch: 8 },
      { prompt: 0, new: 0, context: 1088, batch: 1, image: 896 },
    ]);
    const figures = { prompt_tokens_per_s: 1, decode_tokens_per_s: 2, image_ms: { vision: 3000 } };
    const read = (what: string): unknown =>
      callsFor([what], sizes).flatMap((call) => figuresOf(call, figures));
    expect(['decode', 'prompt', 'batch', 'image'].map(read)).toEqual([
      [['decode', 2]],
      [['prompt', 1]],
      [['batch', 2]],
      [['image', 3]],
    ]);
  });

  it('measures in a page what the command measures', async () => {
    const root = join(import.meta.dirname, '../../..');
    const built = (name: string): Promise<unknown> => import(join(root, 'build/js', name));
    const options = { prompt: 80, new: 2, batch: 1, threads: 1, variant: variantNames[0] };
    const figures = await measure(built, join(root, 'models/demo/container'), options);
    expect(Object.keys(figures)).toEqual(['prompt_tokens_per_s', 'decode_tokens_per_s']);
    for (const rate of Object.values(figures)) expect(rate).toBeGreaterThan(0);
  });

  it('reads lines of JSON among others', () => {
    expect(jsonLines('text\n{"a": 1}\n{ half\n{"b": 2}\n')).toEqual([{ a: 1 }, { b: 2 }]);
  });
});
