// Owns what comes from the npm registry: our development packages, a second Node, and single tarballs.
// Called by tools/setup.mjs. Surprise: the Node that runs relaxed SIMD is itself an npm package.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, component, output, root, run, sha256File, step } from './io.mjs';
import { pins } from './system.mjs';

/** Fetches a pinned tarball (a name in pins.npm), checks it and unpacks `only` (default all) into `folder`. */
export async function unpackNpm(name, folder, only = []) {
  const pin = pins.npm[name];
  const packageName = pin.package[process.arch] ?? pin.package.all;
  const want = pin.sha256[process.arch] ?? pin.sha256.all;
  if (!packageName || !want) {
    throw new SetupError(
      `${name} ${pin.version}: tools/pins.json has no package for ${process.arch}`,
    );
  }
  const listing = output(
    'npm',
    ['pack', `${packageName}@${pin.version}`, '--json', '--loglevel=error'],
    {
      cwd: folder,
    },
  );
  if (!listing)
    throw new SetupError(`${packageName}@${pin.version} cannot be fetched from the npm registry`);
  // npm names the tarball of @scope/name scope-name-VERSION.tgz.
  const plain = packageName.replace(/^@/, '').replace('/', '-');
  const file = join(folder, `${plain}-${pin.version}.tgz`);
  const have = await sha256File(file);
  if (have !== want) {
    throw new SetupError(
      `${packageName}@${pin.version}: sha256 ${have}, tools/pins.json says ${want}`,
    );
  }
  await run('tar', ['-xzf', file, '-C', folder, '--strip-components=1', ...only]);
  await run('rm', [file]);
}

/** A Node with relaxed SIMD: this one from version 22 on, else the pinned one. Returns its path. */
export async function relaxedNode(prefix) {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  const title = `node ${pins.npm.node24.version} (for relaxed SIMD)`;
  const folder = await component(prefix, 'node24', pins.npm.node24, title, (temporary) =>
    unpackNpm('node24', temporary, ['package/bin/node', 'package/LICENSE']),
  );
  return join(folder, 'bin/node');
}

/** Installs the development packages of package-lock.json, when it has changed since the last time. */
export function nodeModules() {
  return installLocked(root, 'npm packages');
}

/** Installs what `folder`/package-lock.json pins, when it has changed since the last time. */
export async function installLocked(folder, title) {
  const lock = join(folder, 'package-lock.json');
  const stamp = join(folder, 'node_modules', '.ocelli-lock.json');
  const same = existsSync(stamp) && readFileSync(stamp).equals(readFileSync(lock));
  if (same) return;
  await step(title, async () => {
    await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder });
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    copyFileSync(lock, stamp);
  });
}

/** Writes `text` only when it differs, so that nothing is rebuilt for nothing. */
export function writeIfChanged(path, text) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  writeFileSync(path, text);
}
