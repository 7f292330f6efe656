// Holds the arrows of the TypeScript: examples -> js/cli -> worker -> js, and that the shim, js/ without its command, needs
// no package at run time.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Every module that a TypeScript file names: what follows from, import and import(). */
function namesIn(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^'\s]+)'/g)].map((match) => match[1]!);
}

const layerOf = (path: string): string =>
  path.startsWith('js/cli/') ? 'js/cli' : path.split('/')[0]!;

/** The imports of a folder's files: the file, and the layer or package it names. */
function imports(folder: string): { file: string; uses: string }[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const file = join(folder, name);
      const text = readFileSync(join(root, file), 'utf8');
      return namesIn(text).map((from) => ({
        file,
        uses: from.startsWith('.')
          ? layerOf(relative(root, resolve(root, file, '..', from)))
          : from,
      }));
    });
}

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
};
const packages = Object.keys(dependencies);
const isPackage = (name: string): boolean =>
  packages.some((known) => name === known || name.startsWith(`${known}/`));
const strays = (folder: string, allowed: (uses: string) => boolean): string[] =>
  imports(folder)
    .filter(({ file, uses }) => layerOf(file) === folder && !allowed(uses))
    .map(({ file, uses }) => `${file} imports ${uses}`);

describe('imports', () => {
  it('are found at all', () => {
    expect(imports('js').length).toBeGreaterThan(100);
    expect(imports('worker').length).toBeGreaterThan(30);
    expect(namesIn("import a from 'b';\nawait import('./c.ts');")).toEqual(['b', './c.ts']);
  });

  it('of js/ stay in it: no package, and Node only by its prefix', () => {
    const known = (uses: string): boolean =>
      uses === 'js' || uses.startsWith('node:') || uses.startsWith('ocelli/');
    expect(strays('js', known)).toEqual([]);
  });

  it('of worker/ are js/ and the dependencies of the package; Node only in adapters/', () => {
    const known = (uses: string): boolean =>
      uses === 'js' || uses === 'worker' || uses.startsWith('node:') || isPackage(uses);
    expect(strays('worker', known)).toEqual([]);
    const node = imports('worker').filter(({ uses }) => /^node:|^@hono\/node/.test(uses));
    expect(node.filter(({ file }) => !file.startsWith('worker/adapters/'))).toEqual([]);
  });

  it('of js/cli are worker/ and js/', () => {
    const known = (uses: string): boolean =>
      ['js', 'js/cli', 'worker'].includes(uses) || uses.startsWith('node:');
    expect(strays('js/cli', known)).toEqual([]);
  });

  it('names packages by exact versions', () => {
    expect(packages.length).toBeGreaterThan(0);
    for (const [name, version] of Object.entries(dependencies))
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
