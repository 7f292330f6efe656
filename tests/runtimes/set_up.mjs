// Owns what the suites of this folder share: the package, packed and installed into an empty project; the runtimes, from
// their own packages; and the answers to expect, from this Node. Run by vitest before the suites and, for the table, after
// them. Surprise: a runtime that cannot be fetched stops nothing here: its reason is written down, and its suite fails
// with it.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { root, say } from '../../tools/setup/io.mjs';
import { runtimes } from './fetch.mjs';
import { writeTable } from './table.mjs';

const place = join(root, 'build/runtimes');

/** npm without what it would otherwise ask a registry for. */
function npm(words, cwd) {
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  return execFileSync('npm', [...words, ...quiet], { cwd, encoding: 'utf8' });
}

/** An empty project with the packed package in it; what a user gets. */
function install() {
  const project = join(place, 'project');
  mkdirSync(project, { recursive: true });
  const [packed] = JSON.parse(npm(['pack', '--json', '--pack-destination', place], root));
  const manifest = { name: 'empty', private: true, type: 'module' };
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest));
  const tarball = join(place, packed.filename);
  npm(['install', '--prefer-offline', tarball], project);
  for (const name of readdirSync(import.meta.dirname))
    if (name.endsWith('.mjs')) cpSync(join(import.meta.dirname, name), join(project, name));
  return { project, tarball, bytes: statSync(tarball).size, unpacked: packed.unpackedSize };
}

export async function setup() {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(join(place, 'rows'), { recursive: true });
  const found = { ...install(), runtimes: {} };
  for (const [name, fetch] of Object.entries(runtimes)) {
    try {
      found.runtimes[name] = await fetch();
    } catch (error) {
      found.runtimes[name] = { error: error.message };
      say(`${name} CANNOT BE INSTALLED, its tests will fail: ${error.message}`);
    }
  }
  found.picture = join(root, 'models/demo/examples/shapes.png');
  const words = [join(found.project, 'ask.mjs'), found.picture, '{"variant":"st-simd128"}'];
  const out = execFileSync(process.execPath, words, { encoding: 'utf8', maxBuffer: 1 << 26 });
  found.expected = JSON.parse(out).answers;
  writeFileSync(join(place, 'found.json'), JSON.stringify(found));
}

export function teardown() {
  if (existsSync(join(place, 'rows'))) writeTable(place);
}
