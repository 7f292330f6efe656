// The builds of the core: the table is the build's, and the probe tells what this host validates.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { abiVersion } from '../../js/abi/calls.ts';
import { loadCore } from '../../js/abi/load.ts';
import { probeFeatures, unfit, variants } from '../../js/abi/variants.ts';

it('mirrors wasm/variants.json', () => {
  const file = new URL('../../wasm/variants.json', import.meta.url);
  const table = JSON.parse(readFileSync(file, 'utf8')) as { variants: Record<string, unknown>[] };
  const mirror = table.variants.map(({ name, threads, simd, wasm, glue }) => {
    const folder = `build/wasm/${String(name)}/`;
    return {
      name,
      threads,
      simd,
      wasm: folder + String(wasm),
      glue: glue === null ? null : folder + String(glue),
    };
  });
  expect(variants).toEqual(mirror);
});

it('probes this host', () => {
  const features = probeFeatures();
  expect(features.simd).toBe(true);
  expect(features.threads).toBe(true);
  expect(features.relaxed).toBe(Number(process.versions.node.split('.')[0]) >= 22);
});

it('says why a variant cannot run', () => {
  const all = { simd: true, relaxed: true, threads: true };
  const [relaxed, plain, single] = variants as [never, never, never];
  expect(unfit(relaxed, all)).toBeNull();
  expect(unfit(relaxed, { ...all, relaxed: false })).toBe('this host has no relaxed SIMD');
  expect(unfit(plain, { ...all, threads: false })).toBe(
    'this thread has no shared memory that it can wait for',
  );
  expect(unfit(single, { ...all, simd: false })).toBe('this host has no WebAssembly SIMD');
  expect(unfit(single, { ...all, threads: false })).toBeNull();
});

/** A module with the three functions that a host calls first; each gives one number. */
function tinyModule(abi: number, selfTest: number): WebAssembly.Module {
  const text = (name: string): number[] => [name.length, ...new TextEncoder().encode(name)];
  const section = (id: number, rows: number[][]): number[] => {
    const body = [rows.length, ...rows.flat()];
    return [id, body.length, ...body];
  };
  const number = 0x7f; // i32
  const signatures = [
    [0x60, 0, 1, number],
    [0x60, 1, number, 1, number],
  ];
  const exports = ['memory', 'ocelli_abi_version', 'ocelli_self_test', 'ocelli_alloc'];
  const code = [abi, selfTest, 32].map((value) => [4, 0, 0x41, value, 0x0b]);
  const bytes = [
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, signatures),
    ...section(3, [[0], [0], [1]]),
    ...section(5, [[0, 1]]),
    ...section(
      7,
      exports.map((name, i) => [...text(name), i === 0 ? 2 : 0, Math.max(0, i - 1)]),
    ),
    ...section(10, code),
  ];
  return new WebAssembly.Module(new Uint8Array(bytes));
}

it('takes a module that the host has compiled, unless it computes wrong values', async () => {
  const core = await loadCore({ wasm: tinyModule(abiVersion, 1), threads: 1 });
  expect(core).toMatchObject({ variant: 'custom', threads: 1 });
  await expect(loadCore({ wasm: tinyModule(abiVersion, 0), threads: 1 })).rejects.toMatchObject({
    code: 'no_variant',
    message: expect.stringMatching(/wrong values/) as string,
  });
  await expect(loadCore({ wasm: tinyModule(abiVersion - 1, 1), threads: 1 })).rejects.toMatchObject(
    {
      code: 'abi_version',
    },
  );
});
