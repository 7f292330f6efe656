// Owns the converter's thread: starts the WASI program that workerData names and posts its exit status. Started by
// converter.ts. Surprise: the program writes its progress straight to the process's standard error.
import { readFile } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { ConverterJob } from './converter.ts';

/** node:wasi says on first use that it is experimental; that one line is left out, no other warning is. */
async function wasiClass(): Promise<typeof import('node:wasi').WASI> {
  const emit = process.emitWarning.bind(process);
  process.emitWarning = ((warning: string | Error, ...rest: never[]) => {
    if (!String(warning).startsWith('WASI is an experimental feature')) emit(warning, ...rest);
  }) as typeof process.emitWarning;
  const { WASI } = await import('node:wasi');
  process.emitWarning = emit;
  return WASI;
}

const { url, args, folders } = workerData as ConverterJob;
const WASI = await wasiClass();
const wasi = new WASI({
  version: 'preview1',
  args,
  env: {},
  preopens: Object.fromEntries(folders.map((folder) => [folder, folder])),
  returnOnExit: true,
});
const module = await WebAssembly.compile(await readFile(new URL(url)));
const instance = await WebAssembly.instantiate(
  module,
  wasi.getImportObject() as WebAssembly.Imports,
);
parentPort?.postMessage(Number(wasi.start(instance)));
