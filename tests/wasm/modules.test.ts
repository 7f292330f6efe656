// Holds what each built module is: all variants of wasm/variants.json exist, export the listed functions, and the
// single-thread ones import nothing. OCELLI_VARIANTS (set by tools/test.mjs) names those that this Node can run.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

interface Variant {
  name: string;
  threads: boolean;
  wasm: string;
  glue: string | null;
}

const table = JSON.parse(readFileSync(join(root, 'wasm/variants.json'), 'utf8')) as {
  variants: Variant[];
};
const asked = process.env['OCELLI_VARIANTS']?.split(',') ?? table.variants.map(({ name }) => name);
const exported = readFileSync(join(root, 'wasm/exports.txt'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('ocelli_'));

it('the variants asked for are in the table', () => {
  const known = table.variants.map(({ name }) => name);
  expect(asked.filter((name) => !known.includes(name))).toEqual([]);
});

describe.each(table.variants.filter(({ name }) => asked.includes(name)))('$name', (variant) => {
  const folder = join(root, 'build/wasm', variant.name);
  const bytes = () => readFileSync(join(folder, variant.wasm));

  if (variant.glue === null) {
    it('imports nothing and exports the list', async () => {
      const module = await WebAssembly.compile(bytes());
      expect(WebAssembly.Module.imports(module)).toEqual([]);
      const names = WebAssembly.Module.exports(module).map(({ name }) => name);
      expect(names).toEqual(expect.arrayContaining([...exported, 'memory']));
    });

    it('starts and knows its own kernels to be right', async () => {
      const { instance } = await WebAssembly.instantiate(bytes(), {});
      const calls = instance.exports as Record<string, () => number>;
      calls['_initialize']?.();
      expect(calls['ocelli_self_test']?.()).toBe(1);
    });
  } else {
    const glue = pathToFileURL(join(folder, variant.glue)).href;

    it('starts, has the listed functions and knows its own kernels to be right', async () => {
      const { default: create } = (await import(glue)) as {
        default: (options: object) => Promise<Record<string, unknown>>;
      };
      const core = await create({ pthreadPoolSize: 1 });
      expect(exported.filter((name) => typeof core[`_${name}`] !== 'function')).toEqual([]);
      expect((core['_ocelli_self_test'] as () => number)()).toBe(1);
      (core['PThread'] as { terminateAllThreads: () => void }).terminateAllThreads();
    });
  }
});
