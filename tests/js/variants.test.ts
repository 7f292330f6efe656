// The builds of the core: the table is the build's, and the probe tells what this host validates.
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
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
  expect(unfit(plain, { ...all, threads: false })).toBe('this host has no shared memory');
  expect(unfit(single, { ...all, simd: false })).toBe('this host has no WebAssembly SIMD');
  expect(unfit(single, { ...all, threads: false })).toBeNull();
});
