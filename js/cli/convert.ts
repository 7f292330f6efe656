// Owns `ocelli convert`: a Hugging Face folder to a container. Called by main.ts. Surprise: the converter sees the real
// paths, and of a folder whose files are links (as in a download cache) the nearest folder that also holds the linked
// files.
import { readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { OcelliError } from '../errors.ts';
import type { Given } from './arguments.ts';
import { commands } from './commands.ts';
import { flagsOf, readable, runConverter } from './converter.ts';

export async function convert(given: Given): Promise<number> {
  const [sourceName, outName] = given.operands as [string, string];
  const source = await readable(sourceName);
  const flags = flagsOf(commands['convert'], given);
  // Links are followed before the converter sees the folder, so it is told the name that the user gave.
  if (!given.text('name')) flags.push('--name', basename(resolve(sourceName)));
  return await runConverter([source], outName, flags, [await commonFolder(source)]);
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
