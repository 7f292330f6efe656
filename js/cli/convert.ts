// Owns `ocelli convert`: the C++ converter as a WASI program, run with Node's WASI so that users need no compiler.
// Called by main.ts. Surprise: the program sees the real paths, and of a folder whose files are links (as in a download
// cache) the nearest folder that also holds the linked files.
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { OcelliError } from '../errors.ts';
import { packageRoot } from '../host.ts';
import { commands, type Given } from './arguments.ts';
import { say } from './io.ts';
import { ownerTag, removeLeftovers } from './leftovers.ts';

const program = 'build/wasm/convert.wasm';

export async function convert(given: Given): Promise<number> {
  const [sourceName, outName] = given.operands as [string, string];
  const url = new URL(program, packageRoot);
  if (!existsSync(url)) {
    throw new OcelliError(500, 'io_error', `${program} is not built; run \`npm run build\` first`);
  }
  const source = await realpath(resolve(sourceName)).catch((error: Error) => {
    throw new OcelliError(500, 'io_error', `${sourceName} cannot be read: ${error.message}`);
  });
  const out = resolve(outName);
  await mkdir(dirname(out), { recursive: true });
  const parent = await realpath(dirname(out));
  const readable = await commonFolder(source);
  const flags = flagsOf(given);
  // Links are followed before the converter sees the folder, so it is told the name that the user gave.
  if (!given.text('name')) flags.push('--name', basename(resolve(sourceName)));
  const target = join(parent, basename(out));
  tidy(target, 'partial');
  const WASI = await wasiClass();
  const wasi = new WASI({
    version: 'preview1',
    args: ['ocelli convert', source, target, '--owner', ownerTag(), ...flags],
    env: {},
    preopens: { [readable]: readable, [parent]: parent },
    returnOnExit: true,
  });
  // Optimised code of Node 20 calls its WASI functions directly and then crashes once the program's memory has grown.
  setFlagsFromString('--no-turbo-fast-api-calls');
  const module = await WebAssembly.compile(await readFile(url));
  const instance = await WebAssembly.instantiate(
    module,
    wasi.getImportObject() as WebAssembly.Imports,
  );
  const code = Number(wasi.start(instance));
  // A replaced container that was not removed any more: only now is there another one for sure.
  if (code === 0) tidy(target, 'old');
  return code;
}

function tidy(target: string, kind: 'partial' | 'old'): void {
  const { removed, unknown } = removeLeftovers(target, kind);
  for (const path of removed) say(`removed ${path}, left by a conversion that was killed`);
  for (const path of unknown)
    say(`${path} is of a conversion elsewhere, or of one before a restart; remove it if none runs`);
}

/** The options as they were given, spelled one way. */
function flagsOf(given: Given): string[] {
  return Object.entries(commands['convert']?.options ?? {}).flatMap(([name, { kind }]) => {
    if (kind === 'flag') return given.flag(name) ? [`--${name}`] : [];
    const value = given.text(name);
    return value === undefined ? [] : [`--${name}`, value];
  });
}

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

/** The deepest folder that holds `folder` and whatever the links in it point to. */
async function commonFolder(folder: string): Promise<string> {
  let common = folder.split(sep);
  const entries = await readdir(folder).catch((error: Error) => {
    throw new OcelliError(500, 'io_error', `${folder} cannot be read: ${error.message}`);
  });
  for (const name of entries) {
    const target = dirname(
      await realpath(join(folder, name)).catch(() => join(folder, name)),
    ).split(sep);
    let same = 0;
    while (same < common.length && common[same] === target[same]) same++;
    common = common.slice(0, same);
  }
  return common.join(sep) || sep;
}
