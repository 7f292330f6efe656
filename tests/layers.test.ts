// Holds the arrows of src/layers.txt: what a folder includes is named there, and lies on a lower level.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Layer {
  level: number;
  uses: string[];
}

/** Reads src/layers.txt: name, level, then what the folder may use. */
function readLayers(): Map<string, Layer> {
  const layers = new Map<string, Layer>();
  for (const line of readFileSync(join(root, 'src/layers.txt'), 'utf8').split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [name, level, ...uses] = line.trim().split(/\s+/);
    layers.set(name!, { level: Number(level), uses });
  }
  return layers;
}

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(h|cc)$/.test(name))
    .map((name) => join(folder, name));
}

/** The folders that a file's own includes ("folder/file.h") name. */
function includedFolders(text: string): string[] {
  return [...text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map(
    (match) => match[1]!.split('/')[0]!,
  );
}

const layers = readLayers();
const folders = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

describe('src/layers.txt', () => {
  it('has a line for each folder of src/', () => {
    expect(folders.filter((name) => !layers.has(name))).toEqual([]);
  });

  it('points only downwards, so siblings never use each other', () => {
    for (const [name, layer] of layers) {
      for (const used of layer.uses) {
        expect(layers.get(used)?.level, `${name} uses ${used}`).toBeLessThan(layer.level);
      }
    }
  });
});

describe('includes', () => {
  it('are found at all', () => {
    expect(folders.flatMap((name) => sources(join('src', name))).length).toBeGreaterThan(10);
    expect(includedFolders('#include <a/b.h>\n#include "text/c.h"\n')).toEqual(['text']);
  });

  it.each(folders)('of src/%s stay within its line', (name) => {
    const allowed = new Set([name, ...(layers.get(name)?.uses ?? [])]);
    const strays = sources(join('src', name)).flatMap((file) =>
      includedFolders(readFileSync(join(root, file), 'utf8'))
        .filter((folder) => !allowed.has(folder))
        .map((folder) => `${file} includes ${folder}/`),
    );
    expect(strays).toEqual([]);
  });
});
