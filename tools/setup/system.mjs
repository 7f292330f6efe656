// Owns the packages that apt installs on the machine itself: compilers and build tools.
// Called by tools/setup.mjs. Surprise: what is already installed in a good enough version is left alone, so a
// prepared machine needs neither root nor network here.
import { existsSync } from 'node:fs';
import { SetupError, output, readJson, root, run, say, step, which } from './io.mjs';

export const pins = readJson(`${root}/tools/pins.json`);

/** 'amd64', 'arm64', as Debian names them. */
export const debianArch = { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? process.arch;

export function release() {
  const text = output('sh', ['-c', '. /etc/os-release; echo "$ID $VERSION_CODENAME"']) ?? '';
  const [id = 'unknown', codename = 'unknown'] = text.trim().split(' ');
  return { id, codename };
}

/** The version without Debian's own revision: 1:19.1.7-3~deb12u1 -> 1:19.1.7 */
export function upstream(version) {
  return version.replace(/-[^-]*$/, '');
}

function installedVersion(name) {
  const text = output('dpkg-query', ['-W', '-f', '${db:Status-Status} ${Version}', name]);
  const [status, version] = (text ?? '').trim().split(' ');
  return status === 'installed' ? version : null;
}

/** Tools taken from PATH when present, whoever installed them: package -> [command, oldest version]. */
const fromPath = {
  cmake: ['cmake', [3, 25]],
  'ninja-build': ['ninja', [1, 10]],
  python3: ['python3', [3, 9]],
  'xz-utils': ['xz', [5, 0]],
  ccache: ['ccache', [4, 0]],
};

function goodOnPath(name) {
  const [command, oldest] = fromPath[name] ?? [];
  if (!command || !which(command)) return false;
  const found = /(\d+)\.(\d+)/.exec(output(command, ['--version']) ?? '');
  if (!found) return false;
  const [major, minor] = [Number(found[1]), Number(found[2])];
  return major > oldest[0] || (major === oldest[0] && minor >= oldest[1]);
}

function asRoot() {
  if (process.getuid?.() === 0) return [];
  return which('sudo') ? ['sudo'] : null;
}

async function apt(args) {
  const [command, ...before] = [...(asRoot() ?? []), 'apt-get'];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const stdio = command === 'sudo' ? 'inherit' : ['ignore', 'pipe', 'pipe'];
  await run(command, [...before, ...args], { env, stdio });
}

/** Checks an offered package against its pin and returns NAME=VERSION for apt, or null when it is not offered. */
function choose(name, pin) {
  const stanzas = (output('apt-cache', ['show', '--no-all-versions', name]) ?? '').split(/\n\n/);
  const exact = (output('apt-cache', ['show', `${name}=${pin.version}`]) ?? '').split(/\n\n/)[0];
  const field = (text, key) => new RegExp(`^${key}: (.*)$`, 'm').exec(text)?.[1];
  if (exact) {
    const want = pin.sha256[debianArch] ?? pin.sha256.all;
    const have = field(exact, 'SHA256');
    if (want && have !== want) {
      throw new SetupError(
        `package ${name} ${pin.version}: apt offers sha256 ${have}, tools/pins.json says ${want}`,
      );
    }
    return `${name}=${pin.version}`;
  }
  const offered = field(stanzas[0], 'Version');
  if (!offered) return null;
  if (upstream(offered) !== upstream(pin.version) && !process.env.OCELLI_ALLOW_UNPINNED) {
    throw new SetupError(
      `package ${name}: tools/pins.json pins ${pin.version}, this machine's apt offers ${offered}.\n` +
        'Set OCELLI_ALLOW_UNPINNED=1 to go on with what is offered.',
    );
  }
  say(`    WARNING: ${name} ${pin.version} is pinned, ${offered} is what apt offers; taking that`);
  return `${name}=${offered}`;
}

/** Installs what is missing of `names` (keys of pins.system). Does nothing, and needs no root, when nothing is. */
export async function installSystem(names) {
  const missing = names.filter((name) => !installedVersion(name) && !goodOnPath(name));
  if (missing.length === 0) return;
  const { id, codename } = release();
  if (!which('apt-get')) {
    throw new SetupError(
      `these packages are needed and there is no apt-get to install them: ${missing.join(' ')}.\n` +
        'Other systems: set CC and CXX (clang 19 or GCC 13), EMSDK and WASI_SDK_PATH, and install cmake and ninja.',
    );
  }
  const table = pins.system[codename];
  if (!table) {
    throw new SetupError(
      `${id} ${codename} has no pins (tools/pins.json has ${Object.keys(pins.system).join(', ')}).\n` +
        `Install ${missing.join(' ')} yourself, or set CC and CXX, EMSDK and WASI_SDK_PATH.`,
    );
  }
  if (!asRoot()) {
    throw new SetupError(
      `packages are missing, and this user is neither root nor has sudo. As root, run:\n` +
        `  apt-get update && apt-get install -y --no-install-recommends ${missing.join(' ')}`,
    );
  }
  await step(`apt: ${missing.join(' ')}`, async () => {
    try {
      await apt(['-qq', 'update']);
    } catch (error) {
      throw new SetupError(`apt-get update failed: is there a network?\n${error.message}`);
    }
    const chosen = missing.map((name) => {
      const choice = table[name] ? choose(name, table[name]) : name;
      if (!choice) throw new SetupError(`package ${name} is not offered by this machine's apt`);
      return choice;
    });
    await apt(['-qq', 'install', '-y', '--no-install-recommends', ...chosen]);
  });
}

/** The folder of LLVM 19's tools as Debian installs it, or null. */
export function llvmFolder() {
  return existsSync('/usr/lib/llvm-19/bin/clang') ? '/usr/lib/llvm-19/bin' : null;
}
