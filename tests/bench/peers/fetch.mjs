// Owns where the peers' packages come from: PyPI, npm and Debian, by the version and sha256 in pins.json, each into a folder
// of its own under the set-up's prefix. Called by the peers. Surprise: nothing is installed; an archive is unpacked, and a
// peer whose archive cannot be had is left out of the run by peers.mjs.
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  SetupError,
  component,
  output,
  readJson,
  root,
  run,
  sha256File,
} from '../../../tools/setup/io.mjs';
import { fetchDebian } from '../../../tools/setup/debian.mjs';

const pins = readJson(join(root, 'tests/bench/peers/pins.json'));

export const prefix = process.env.OCELLI_PREFIX ?? join(homedir(), '.cache', 'ocelli');

async function checked(file, pin, name) {
  if (!existsSync(file)) throw new SetupError(`${name} ${pin.version}: ${file} was not fetched`);
  const have = await sha256File(file);
  if (have !== pin.sha256)
    throw new SetupError(`${name} ${pin.version}: sha256 ${have}, pins.json says ${pin.sha256}`);
  return file;
}

/** The version that is pinned. */
export function pinned(registry, name) {
  return pins[registry][name].version;
}

/** Unpacks a source distribution, or only the folder `inside` of it, and returns its folder. */
export function sourceDistribution(name, inside) {
  const pin = pins.pypi[name];
  const key = { pin, inside, layout: 1 };
  return component(prefix, `peer-${name}`, key, `${name} ${pin.version}`, async (folder) => {
    // As it is: no dependencies. pip looks at the metadata, for which it may fetch the build tool.
    const options = ['--no-deps', '--no-binary', name, '--dest', folder, '--quiet'];
    const words = ['-m', 'pip', 'download', ...options, `${name}==${pin.version}`];
    await run('python3', words);
    const file = await checked(join(folder, pin.file), pin, name);
    const top = pin.file.replace(/\.tar\.gz$/, '');
    const depth = 1 + inside.split('/').length;
    const strip = `--strip-components=${depth}`;
    await run('tar', ['-xzf', file, '-C', folder, strip, `${top}/${inside}`]);
    await run('rm', [file]);
  });
}

/** Unpacks all pinned Debian sources, each into a folder of its name; returns the folder of them. */
export function debianSources() {
  const key = { pins: pins.debian, layout: 1 };
  const names = Object.keys(pins.debian);
  return component(prefix, `peer-${names[0]}`, key, names.join(', '), async (folder) => {
    for (const name of names) {
      const pin = pins.debian[name];
      const file = await fetchDebian(prefix, name, folder, pin);
      const target = join(folder, name);
      mkdirSync(target);
      const strip = `--strip-components=${pin.top_folders}`;
      await run('tar', ['-xf', file, '-C', target, strip]);
      await run('rm', [file]);
    }
  });
}

/** The checked archive of an npm package, in `folder`. */
async function npmArchive(name, folder) {
  const pin = pins.npm[name];
  const plain = name.replace(/^@/, '').replace('/', '-');
  const words = ['pack', `${name}@${pin.version}`, '--json', '--loglevel=error'];
  if (!output('npm', words, { cwd: folder }))
    throw new SetupError(`${name}@${pin.version} cannot be fetched from the npm registry`);
  return checked(join(folder, `${plain}-${pin.version}.tgz`), pin, name);
}

/** Unpacks an npm package without its dependencies and returns its folder. */
export function npmPackage(name) {
  const pin = pins.npm[name];
  const short = name.split('/').at(-1);
  const title = `${name} ${pin.version}`;
  return component(prefix, `peer-${short}`, { pin, layout: 1 }, title, async (folder) => {
    const file = await npmArchive(name, folder);
    await run('tar', ['-xzf', file, '-C', folder, '--strip-components=1']);
    await run('rm', [file]);
  });
}

/** Installs npm packages with what they need, no scripts run; returns the folder that has node_modules. */
export function npmInstalled(names) {
  const key = { pins: names.map((name) => pins.npm[name]), layout: 1 };
  return component(prefix, `peer-${names[0]}`, key, names.join(', '), async (folder) => {
    const files = [];
    for (const name of names) files.push(await npmArchive(name, folder));
    // Optional packages are other platforms' builds, hundreds of megabytes.
    const options = ['--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run('npm', ['install', ...options, '--loglevel=error', ...files], { cwd: folder });
  });
}
