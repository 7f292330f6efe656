// Owns making folders on disk. Called by the cache in a folder, the converter and `--dump`. Surprise: mkdir({ recursive }) of
// Node would do, but never ends on file systems that answer "no such file" to every new folder, as /proc and automounts do.
import { nodeModule } from './host.ts';

/** Makes a folder and those above it; no harm where it is there. Rejects with the system's error. */
export async function makeFolder(path: string): Promise<void> {
  const { mkdir, stat } = await nodeModule('node:fs/promises');
  const { dirname, resolve } = await nodeModule('node:path');
  const isFolder = async (name: string): Promise<boolean> =>
    (await stat(name).catch(() => null))?.isDirectory() === true;
  const make = async (name: string): Promise<void> => {
    try {
      await mkdir(name);
    } catch (error) {
      if (await isFolder(name)) return;
      const above = dirname(name);
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || (await isFolder(above)))
        throw error;
      await make(above);
      await make(name);
    }
  };
  await make(resolve(path));
}
