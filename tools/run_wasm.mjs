// Owns the start of a WebAssembly program on Node: a WASI command, or what Emscripten made for Node.
// Called by ctest for the tests of the variants, and by hand:  node tools/run_wasm.mjs FILE [ARGUMENT]...
// Surprise: a WASI program sees the whole file system, at the paths that a native one sees.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [file, ...args] = process.argv.slice(2);
if (!file) {
  console.error('usage: node tools/run_wasm.mjs FILE.wasm|FILE.mjs [ARGUMENT]...');
  process.exit(2);
}
process.exitCode = 3; // stays so when the program never says that it has ended
if (file.endsWith('.mjs')) {
  const { default: start } = await import(pathToFileURL(resolve(file)).href);
  await start({ arguments: args, onExit: (code) => process.exit(code) });
} else {
  process.removeAllListeners('warning'); // node:wasi says at each start that it is experimental
  const { WASI } = await import('node:wasi');
  const wasi = new WASI({
    version: 'preview1',
    args: [file, ...args],
    env: process.env,
    preopens: { '/': '/' },
    returnOnExit: true,
  });
  const module = await WebAssembly.compile(readFileSync(file));
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
  process.exitCode = wasi.start(instance);
}
