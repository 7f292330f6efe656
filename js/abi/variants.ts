// Owns which builds of the core there are and which of them this host runs. Called by load.ts. Surprise: that a
// relaxed module validates proves nothing (Node 20 computes wrong values behind a flag): ocelli_self_test() decides.

export type VariantName = 'mt-relaxed' | 'mt-simd128' | 'st-relaxed' | 'st-simd128';

export interface Variant {
  name: VariantName;
  threads: boolean;
  simd: 'relaxed' | 'simd128';
  /** Relative to the package's root. */
  wasm: string;
  /** Generated JavaScript of a threaded module, null for a plain reactor module. */
  glue: string | null;
}

/** Best first; a mirror of wasm/variants.json that tests/js/variants.test.ts compares with it. */
export const variants: readonly Variant[] = [
  row('mt-relaxed', true, 'relaxed'),
  row('mt-simd128', true, 'simd128'),
  row('st-relaxed', false, 'relaxed'),
  row('st-simd128', false, 'simd128'),
];

function row(name: VariantName, threads: boolean, simd: Variant['simd']): Variant {
  const folder = `build/wasm/${name}`;
  return {
    name,
    threads,
    simd,
    wasm: `${folder}/ocelli.wasm`,
    glue: threads ? `${folder}/ocelli.mjs` : null,
  };
}

export interface Features {
  simd: boolean;
  relaxed: boolean;
  /** Shared memory and waiting for it; in a page this also needs cross-origin isolation, and a worker. */
  threads: boolean;
}

// Bodies of one function without parameters or results; what is pushed is dropped again.
const splat = [0x41, 0x00, 0xfd, 0x0f]; // i32.const 0; i8x16.splat
const simdBody = [...splat, 0x1a];
const relaxedBody = [...splat, ...splat, 0xfd, 0x92, 0x02, 0x1a]; // i16x8.relaxed_dot_i8x16_i7x16_s
const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

function moduleWith(body: readonly number[]): Uint8Array<ArrayBuffer> {
  const code = [0x00, ...body, 0x0b];
  const type = [0x01, 0x04, 0x01, 0x60, 0x00, 0x00];
  const functions = [0x03, 0x02, 0x01, 0x00];
  return Uint8Array.from([
    ...header,
    ...type,
    ...functions,
    0x0a,
    code.length + 2,
    0x01,
    code.length,
    ...code,
  ]);
}

export function probeFeatures(): Features {
  let threads = false;
  try {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
    threads = memory.buffer instanceof SharedArrayBuffer && isolated !== false;
    // A page's own thread may wait for no other, and throws.
    if (threads) Atomics.wait(new Int32Array(memory.buffer), 0, 1);
  } catch (error) {
    threads = error instanceof RangeError; // it has it, but no addresses for it now
  }
  const simd = WebAssembly.validate(moduleWith(simdBody));
  return { simd, relaxed: simd && WebAssembly.validate(moduleWith(relaxedBody)), threads };
}

/** Why a variant cannot run here, or null when it can (as far as validation tells). */
export function unfit(variant: Variant, features: Features): string | null {
  if (!features.simd) return 'this host has no WebAssembly SIMD';
  if (variant.simd === 'relaxed' && !features.relaxed) return 'this host has no relaxed SIMD';
  if (variant.threads && !features.threads)
    return 'this thread has no shared memory that it can wait for';
  return null;
}
