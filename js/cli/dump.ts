// Owns what `--dump DIR` writes: prompt.json as the core gives it and vision_N.npy. Called by run.ts. Surprise: the
// files of one request only; with --requests a dump is refused, since each would overwrite the last.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DumpFile } from '../thread/protocol.ts';
import { npyFile } from './npy.ts';

/** Writes into `folder`, which is there. */
export async function writeDump(folder: string, files: readonly DumpFile[]): Promise<void> {
  for (const { name, data, rows, columns } of files) {
    if (name.endsWith('.json')) await writeFile(join(folder, name), data);
    else await writeFile(join(folder, `${name}.npy`), npyFile(data, rows, columns));
  }
}
