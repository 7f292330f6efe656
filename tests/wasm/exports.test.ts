// Holds the one list of exports: wasm/exports.txt names exactly the functions of src/abi/ocelli.h, in its order.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

it('wasm/exports.txt equals the functions of src/abi/ocelli.h', () => {
  const header = readFileSync(join(root, 'src/abi/ocelli.h'), 'utf8').replace(/\/\/.*$/gm, '');
  const declared = [...header.matchAll(/\b(ocelli_[a-z0-9_]+)\s*\(/g)].map((match) => match[1]);
  const listed = readFileSync(join(root, 'wasm/exports.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  expect(declared.length).toBeGreaterThan(0);
  expect(listed).toEqual(declared);
});
