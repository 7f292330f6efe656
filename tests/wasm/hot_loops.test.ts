// Holds what speed rests on, by counting instead of timing: each tile of a product is a function of its own with exactly
// the dot products that it needs. Surprise: instructions are found as bytes in the bodies of functions; a constant that
// looks like one would only raise a count.
//
// One function that holds several tiles means that a linker inlined them. V8 then runs baseline code to the end of the
// whole product, and no pair of vectors becomes a wider one (src/kernels/README.md, "Revectorisation").
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const table = JSON.parse(readFileSync(join(root, 'wasm/variants.json'), 'utf8')) as {
  variants: { name: string; wasm: string }[];
};
const asked = process.env['OCELLI_VARIANTS']?.split(',') ?? table.variants.map(({ name }) => name);

const codeSection = 10;
const opcodes = {
  wide: [0xfd, 0x93, 0x02], // i32x4.relaxed_dot_i8x16_i7x16_add_s
  narrow: [0xfd, 0x92, 0x02], // i16x8.relaxed_dot_i8x16_i7x16_s
  plain: [0xfd, 0xba, 0x01], // i32x4.dot_i16x8_s
};

/** The bodies of a module's functions. */
function bodies(module: Buffer): Buffer[] {
  let at = 8; // behind magic and version
  const number = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module.readUInt8(at++);
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const found: Buffer[] = [];
  while (at < module.length) {
    const id = module.readUInt8(at++);
    const end = number() + at;
    if (id === codeSection) {
      for (let count = number(); count > 0; count--) {
        const size = number();
        found.push(module.subarray(at, at + size));
        at += size;
      }
    }
    at = end;
  }
  return found;
}

/** How many functions hold how many of an instruction, those without any left out; ascending. */
function counts(functions: Buffer[], opcode: readonly number[]): number[] {
  const pattern = Buffer.from(opcode);
  const each = functions.map((body) => {
    let count = 0;
    for (let at = body.indexOf(pattern); at >= 0; at = body.indexOf(pattern, at + 1)) count++;
    return count;
  });
  return each.filter((count) => count > 0).sort((a, b) => a - b);
}

const of = (list: number[], count: number): number => list.filter((each) => each === count).length;

describe.each(table.variants.filter(({ name }) => asked.includes(name)))('$name', (variant) => {
  const functions = bodies(readFileSync(join(root, 'build/wasm', variant.name, variant.wasm)));

  if (variant.name.endsWith('relaxed')) {
    it('has steps of 8 streams and tiles with one dot for 16 products, apart from each other', () => {
      const wide = counts(functions, opcodes.wide);
      // 8 streams x tiles, 8 outputs, 8 inputs / 16 products: u4 and u8, bytes signed and not, 8 and 15 bits, one, two
      // and four tiles at once. The compiler joins twins: u4 does not know about signs.
      expect(of(wide, 32)).toBeGreaterThanOrEqual(40);
      expect(wide.at(-1)).toBeLessThanOrEqual(112); // peaks: parts of 4, 2 and 1 of 32 inputs
    });
    it('has steps of 4 streams for engines that add in 16 bits', () => {
      const narrow = counts(functions, opcodes.narrow);
      expect(of(narrow, 64)).toBeGreaterThanOrEqual(12);
      expect(narrow.at(-1)).toBeLessThanOrEqual(160);
    });
  } else {
    it('has steps of 4 streams, apart from each other', () => {
      const plain = counts(functions, opcodes.plain);
      expect(plain.length).toBeGreaterThanOrEqual(16);
      expect(plain.at(-1)).toBeLessThanOrEqual(112);
    });
  }
});
