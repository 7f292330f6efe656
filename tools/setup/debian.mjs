// Owns packages and source archives that are unpacked under the prefix and never installed on the machine.
// Called by the steps of tools/setup.mjs. Surprise: no archive address is written here; it is the one that this
// machine's own apt is configured with, asked for another suite through private lists.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, output, run, say, sha256File } from './io.mjs';
import { debianArch, pins, release, upstream } from './system.mjs';

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** apt options for a private view of `suite`, kept under the prefix; made on first use. */
async function view(prefix, suite) {
  const folder = join(prefix, `apt-${suite}`);
  const args = [
    `Dir::Etc::sourcelist=${folder}/sources.list`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State=${folder}/state`,
    `Dir::State::status=${folder}/status`,
    `Dir::Cache=${folder}/cache`,
    'APT::Get::List-Cleanup=0',
    'Acquire::Languages=none',
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
  ].flatMap((option) => ['-o', option]);
  const { id, codename } = release();
  const targets = output('apt-get', [
    'indextargets',
    '--format',
    '$(CODENAME) $(COMPONENT) $(REPO_URI)',
    'Created-By: Packages',
  ]);
  const line = (targets ?? '').split('\n').find((text) => text.startsWith(`${codename} main `));
  if (id !== 'debian' || !line || !existsSync(keyring)) {
    throw new SetupError(
      `Debian's archive is needed for pinned packages of ${suite}, and this machine (${id} ${codename}) has no apt ` +
        'configured for it.\nTested on Debian 12. Elsewhere use a Debian container.',
    );
  }
  const archive = line.split(' ')[2];
  mkdirSync(join(folder, 'state/lists/partial'), { recursive: true });
  mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
  writeFileSync(join(folder, 'status'), '');
  writeFileSync(
    join(folder, 'sources.list'),
    ['deb', 'deb-src']
      .map((kind) => `${kind} [signed-by=${keyring}] ${archive} ${suite} main\n`)
      .join(''),
  );
  return args;
}

const updated = new Set();

/** Downloads one pin (else that in tools/pins.json) into `folder`, checks its sha256 and returns the file's path. */
export async function fetchDebian(prefix, name, folder, pin = pins.debian[name]) {
  const args = await view(prefix, pin.suite);
  if (!updated.has(pin.suite)) {
    await run('apt-get', [...args, '-qq', 'update']).catch((error) => {
      throw new SetupError(
        `the package lists of ${pin.suite} cannot be read: is there a network?\n${error.message}`,
      );
    });
    updated.add(pin.suite);
  }
  const before = new Set(readdirSync(folder));
  const get = async (what) => {
    const command =
      pin.kind === 'source'
        ? ['source', '--tar-only', '--download-only', what]
        : ['download', what];
    await run('apt-get', [...args, '-qq', ...command], { cwd: folder });
  };
  try {
    await get(pin.kind === 'source' ? name : `${name}=${pin.version}`);
  } catch (error) {
    if (pin.kind === 'source' || !pin.tool_only) {
      throw new SetupError(
        `${name} ${pin.version} of ${pin.suite}, as it is pinned, is not to be had:\n${error.message}`,
      );
    }
    await get(name);
  }
  const file = readdirSync(folder).find((entry) => !before.has(entry));
  if (!file) throw new SetupError(`apt-get fetched nothing for ${name}`);
  const path = join(folder, file);
  const want = pin.sha256[debianArch] ?? pin.sha256.all;
  const have = await sha256File(path);
  if (have !== want) {
    const sameUpstream = decodeURIComponent(file).includes(`_${upstream(pin.version)}-`);
    if (!(pin.tool_only && sameUpstream) && !process.env.OCELLI_ALLOW_UNPINNED) {
      throw new SetupError(
        `${file}: sha256 ${have}, but ${name} ${pin.version} is pinned with ${want ?? 'no sum for ' + debianArch}`,
      );
    }
    say(
      `    WARNING: ${file} is not the pinned ${pin.version}; apt has checked its signature, going on`,
    );
  }
  return path;
}

/** Unpacks a .deb into `folder`, leaving out the given tar patterns. */
export async function unpackDeb(file, folder, excludes = []) {
  mkdirSync(folder, { recursive: true });
  const skip = excludes.map((pattern) => `--exclude=${pattern}`);
  const quoted = skip.map((text) => `'${text}'`).join(' ');
  await run('bash', [
    '-o',
    'pipefail',
    '-c',
    `dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" ${quoted}`,
    file,
    folder,
  ]);
}
