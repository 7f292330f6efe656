// Owns Emscripten, for the threaded modules. Called by tools/setup.mjs, used through wasm/toolchain_emscripten.cmake.
// Surprise: Debian's newer package is unpacked under the prefix and works with clang 19 of the machine's own
// release; only its wasm-opt family needs a newer C library, which comes along and is started through its own loader.
import { chmodSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, component, run } from './io.mjs';
import { fetchDebian, unpackDeb } from './debian.mjs';
import { unpackNpm } from './npm.mjs';
import { llvmFolder, pins } from './system.mjs';
import { existsSync } from 'node:fs';

const debs = ['emscripten', 'binaryen', 'libc6', 'libstdc++6', 'libgcc-s1'];

/** Library variants and extras that we never link: 1.7 GB becomes 0.2 GB. */
const leftOut = [
  '*/wasm32-emscripten/lto*',
  '*/wasm32-emscripten/pic*',
  '*-ww*.a',
  '*asan*.a',
  '*libwasmfs*',
  '*libGL*emu*',
  '*libGL*es3*',
  '*libGL*webgl2*',
  '*libGL*ofb*',
  './usr/share/emscripten/test',
  './usr/share/doc',
  './usr/share/locale',
];

const layout = 2;

/** Returns the folder that holds emcc. With EMSDK set that SDK's is used as it is. */
export async function emscripten(prefix) {
  const given = process.env.EMSDK;
  if (given) {
    const folder = join(given, 'upstream', 'emscripten');
    if (!existsSync(join(folder, 'emcc'))) {
      throw new SetupError(
        `EMSDK is ${given}, but ${folder}/emcc is not there (run emsdk install and activate)`,
      );
    }
    return folder;
  }
  const llvm = llvmFolder();
  if (!llvm)
    throw new SetupError(
      'clang 19 is needed under /usr/lib/llvm-19 (packages clang-19 lld-19 llvm-19)',
    );
  const key = {
    debs: debs.map((name) => pins.debian[name]),
    acorn: pins.npm.acorn,
    leftOut,
    layout,
  };
  const title = `emscripten ${pins.debian.emscripten.version} (about a minute, 0.2 GB)`;
  const folder = await component(prefix, 'emscripten', key, title, async (temporary, final) => {
    for (const name of debs) {
      const file = await fetchDebian(prefix, name, temporary);
      await unpackDeb(
        file,
        temporary,
        name === 'emscripten' ? leftOut : ['./usr/share/doc', './usr/share/locale'],
      );
      await run('rm', [file]);
    }
    const home = join(temporary, 'usr/share/emscripten');
    // The sysroot that Debian built is the cache: moved so that it can also be written to.
    renameSync(join(home, 'cache'), join(temporary, 'cache'));
    const acorn = join(home, 'node_modules/acorn');
    mkdirSync(acorn, { recursive: true });
    await unpackNpm('acorn', acorn);
    wrapBinaryen(temporary, final);
    const settings = {
      EMSCRIPTEN_ROOT: join(final, 'usr/share/emscripten'),
      LLVM_ROOT: llvm,
      BINARYEN_ROOT: join(final, 'binaryen'),
      CACHE: join(final, 'cache'),
      NODE_JS: 'node',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`);
    writeFileSync(join(home, '.emscripten'), [...lines, 'FROZEN_CACHE = False', ''].join('\n'));
  });
  return join(folder, 'usr/share/emscripten');
}

/** One small script for each wasm tool, which starts it with the C library it was built for. */
function wrapBinaryen(temporary, final) {
  const bin = join(temporary, 'binaryen/bin');
  mkdirSync(bin, { recursive: true });
  const [triple, loader] = {
    x64: ['x86_64-linux-gnu', 'ld-linux-x86-64.so.2'],
    arm64: ['aarch64-linux-gnu', 'ld-linux-aarch64.so.1'],
  }[process.arch] ?? [null, null];
  if (!triple)
    throw new SetupError(
      `emscripten is set up here on x64 and arm64 only, not on ${process.arch}: set EMSDK`,
    );
  const libraries = join(final, 'usr/lib', triple);
  for (const tool of readdirSync(join(temporary, 'usr/bin')).filter((name) =>
    name.startsWith('wasm'),
  )) {
    const path = join(bin, tool);
    const call = `exec '${libraries}/${loader}' --library-path '${libraries}' '${final}/usr/bin/${tool}' "$@"`;
    writeFileSync(path, `#!/bin/sh\n${call}\n`);
    chmodSync(path, 0o755);
  }
}
