// Owns the set-up: brings in everything a build needs and writes where it lies to build/setup.cmake and
// build/setup.json. Idempotent; run by tools/{demo,build,test}.mjs with plain Node before any npm install.
// Surprise: each part lies in a folder named by the hash of its pins, so there are no stamps to go stale, and
// several clones share one prefix (OCELLI_PREFIX, by default ~/.cache/ocelli).
import { existsSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SetupError, endWith, isMain, output, readJson, root, say, which } from './setup/io.mjs';
import { emscripten } from './setup/emscripten.mjs';
import { nodeModules, relaxedNode, writeIfChanged } from './setup/npm.mjs';
import { installSystem } from './setup/system.mjs';
import { thirdParty } from './setup/third_party.mjs';

/** What can be asked for. 'js' is the npm packages; the others are toolchains. */
export const parts = ['native', 'emscripten', 'wasi', 'js', 'tests'];

function checkMachine() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new SetupError(`Node ${process.versions.node} is too old: 20.19 or newer is needed`);
  }
  if (process.platform !== 'linux') {
    throw new SetupError(
      `the build runs on Linux, not on ${process.platform}: use a Debian container`,
    );
  }
}

/** The native C++ compiler: CXX, else clang++ 19, else GCC from 13 on. */
function nativeCompiler() {
  if (process.env.CXX) {
    const cc = process.env.CC ?? process.env.CXX.replace('clang++', 'clang').replace('g++', 'gcc');
    return { cc, cxx: process.env.CXX };
  }
  if (which('clang++-19')) return { cc: 'clang-19', cxx: 'clang++-19' };
  const gcc = Number(output('g++', ['-dumpversion'])?.split('.')[0] ?? 0);
  return gcc >= 13 ? { cc: 'gcc', cxx: 'g++' } : null;
}

function systemPackages(wanted) {
  const names = [];
  if (['native', 'emscripten', 'wasi'].some((part) => wanted.has(part)))
    names.push('cmake', 'ninja-build', 'xz-utils');
  const debianClang = ['clang-19', 'lld-19', 'llvm-19'];
  if (wanted.has('native') && !nativeCompiler())
    names.push(...debianClang, 'libc++-19-dev', 'libc++abi-19-dev');
  if (wanted.has('emscripten') && !process.env.EMSDK) names.push(...debianClang, 'python3');
  if (wanted.has('wasi') && !process.env.WASI_SDK_PATH) {
    names.push(
      ...debianClang,
      'libclang-rt-19-dev-wasm32',
      'libc++-19-dev-wasm32',
      'libc++abi-19-dev-wasm32',
      'wasi-libc',
    );
  }
  if (wanted.has('tests')) {
    names.push('clang-format-19', 'ccache');
    if (!process.env.CXX) names.push('libclang-rt-19-dev', 'libc++-19-dev', 'libc++abi-19-dev');
  }
  return [...new Set(names)];
}

/** Sets up the wanted parts (see `parts`) and returns where everything is. */
export async function setup(wantedParts) {
  checkMachine();
  const wanted = new Set(wantedParts);
  const prefix = process.env.OCELLI_PREFIX ?? join(homedir(), '.cache', 'ocelli');
  mkdirSync(prefix, { recursive: true });
  mkdirSync(join(root, 'build'), { recursive: true });
  await installSystem(systemPackages(wanted));
  // What an earlier call found stays known, so that a demo after the tests forgets nothing.
  const file = join(root, 'build', 'setup.json');
  const before = existsSync(file) ? readJson(file) : {};
  const found = before.prefix === prefix ? before : { prefix };
  const libraries = [
    'json',
    'stb',
    'utf8proc',
    'webp',
    ...(wanted.has('tests') ? ['googletest'] : []),
  ];
  found.third_party = { ...found.third_party, ...(await thirdParty(prefix, libraries)) };
  if (wanted.has('emscripten')) found.emscripten = await emscripten(prefix);
  if (wanted.has('wasi')) found.wasi = wasi();
  if (wanted.has('native')) Object.assign(found, nativeCompiler() ?? {});
  if (wanted.has('tests')) found.node_relaxed = await relaxedNode(prefix);
  if (wanted.has('js')) await nodeModules();
  writeIfChanged(file, `${JSON.stringify(found, null, 2)}\n`);
  writeIfChanged(join(root, 'build', 'setup.cmake'), cmakeText(found));
  return found;
}

/** Compiler and sysroot for the single-thread modules. */
function wasi() {
  const sdk = process.env.WASI_SDK_PATH;
  if (!sdk) return { bin: '/usr/lib/llvm-19/bin', sysroot: '', target: 'wasm32-wasi' };
  const sysroot = join(sdk, 'share', 'wasi-sysroot');
  if (!existsSync(join(sdk, 'bin', 'clang++')) || !existsSync(sysroot)) {
    throw new SetupError(
      `WASI_SDK_PATH is ${sdk}, but bin/clang++ or share/wasi-sysroot is not there`,
    );
  }
  const target = existsSync(join(sysroot, 'lib', 'wasm32-wasip1'))
    ? 'wasm32-wasip1'
    : 'wasm32-wasi';
  return { bin: join(sdk, 'bin'), sysroot, target };
}

function cmakeText(found) {
  const lines = ['# Written by tools/setup.mjs: where things lie on this machine.'];
  const put = (name, value) => value !== undefined && lines.push(`set(OCELLI_${name} "${value}")`);
  for (const [name, folder] of Object.entries(found.third_party))
    put(`THIRD_PARTY_${name.toUpperCase()}`, folder);
  put('EMSCRIPTEN', found.emscripten);
  put('WASI_BIN', found.wasi?.bin);
  put('WASI_SYSROOT', found.wasi?.sysroot);
  put('WASI_TARGET', found.wasi?.target);
  put('NODE_RELAXED', found.node_relaxed);
  put('CC', found.cc);
  put('CXX', found.cxx);
  return `${lines.join('\n')}\n`;
}

if (isMain(import.meta.url)) {
  const asked = process.argv.slice(2);
  const unknown = asked.filter((name) => !parts.includes(name));
  if (unknown.length > 0) {
    say(`usage: node tools/setup.mjs [${parts.join('|')}]...   (all without arguments)`);
    process.exit(2);
  }
  setup(asked.length > 0 ? asked : parts).then(() => say('set-up is complete'), endWith);
}
