// Owns V8's revectorisation: with it, the kernels' pairs of 128-bit operations run as single 256-bit ones, which nearly
// doubles the products a second on x64 with AVX2. Node leaves it off, since it is experimental; load.ts switches it on
// before it compiles the core, and off again where the self test then fails. Surprise: the switch is the whole process's,
// and V8 reads it whenever it optimises a function, so it cannot be put back after compiling.
import { isNode, nodeModule } from '../host.ts';

const flag = 'experimental-wasm-revectorize';

/**
 * Whether this host has the switch: Node from 22 on (V8 12), on x64. Deno and Bun name `process` too, but have no V8 or no
 * flags; older Node complains on standard error.
 */
export function canRevectorise(): boolean {
  if (!isNode || process.arch !== 'x64') return false;
  const others = globalThis as { Deno?: unknown; Bun?: unknown };
  const v8 = parseInt(process.versions.v8 ?? '', 10);
  return others.Deno === undefined && others.Bun === undefined && v8 >= 12;
}

/** For modules that are compiled from now on. */
export async function setRevectorisation(on: boolean): Promise<void> {
  const v8 = await nodeModule('node:v8');
  v8.setFlagsFromString(on ? `--${flag}` : `--no-${flag}`);
}

/** The same module with an empty custom section at its end: V8 keeps the code of a module that it has seen before. */
export function unseen(module: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(module.length + 3);
  copy.set(module);
  copy.set([0, 1, 0], module.length);
  return copy;
}
