// Owns the cache in a folder: Node's, and Deno's and Bun's, which have the same functions. Called by choose.ts. Surprise:
// reading goes straight to where the bytes are wanted, shared memory included, so a cached model loads like a local one.
import { makeFolder } from '../../folders.ts';
import { nodeModule } from '../../host.ts';
import { OcelliError } from '../../errors.ts';
import { cacheFull, cacheUnusable } from '../failures.ts';
import { fileLock } from './lock_file.ts';
import type { Store } from './store.ts';

/** Where models are kept unless told otherwise: OCELLI_CACHE, else the place that the platform has for caches. */
export async function cacheFolder(): Promise<string> {
  const { env, platform } = process;
  if (env['OCELLI_CACHE']) return env['OCELLI_CACHE'];
  const { homedir } = await nodeModule('node:os');
  if (platform === 'win32' && env['LOCALAPPDATA']) return `${env['LOCALAPPDATA']}/ocelli/models`;
  if (platform === 'darwin') return `${homedir()}/Library/Caches/ocelli/models`;
  return `${env['XDG_CACHE_HOME'] || `${homedir()}/.cache`}/ocelli/models`;
}

const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/**
 * Rejects when the folder is not there and cannot be made. One that cannot be written to can still be read. `make`: whether
 * one that is not there is made; else it is empty.
 */
export async function fsStore(folder: string, make = true): Promise<Store> {
  const files = await nodeModule('node:fs/promises');
  const path = (name: string): string => `${folder}/${name}`;
  const failing =
    (doing: string) =>
    (error: unknown): never => {
      if (error instanceof OcelliError) throw error;
      const { code } = error as NodeJS.ErrnoException;
      throw code && fullCodes.has(code)
        ? cacheFull(folder, doing, error)
        : cacheUnusable(folder, doing, error);
    };
  const absent = (error: NodeJS.ErrnoException): null => {
    if (error.code === 'ENOENT') return null;
    return failing('reading')(error);
  };
  let temporary = 0;

  if (make) await makeFolder(folder).catch(failing('making the folder'));

  const store: Store = {
    kind: 'fs',
    where: folder,
    async open(name) {
      const file = await files.open(path(name), 'r').catch(absent);
      if (!file) return null;
      const { size } = await file.stat();
      return {
        bytes: size,
        read: async (at, into) => (await file.read(into, 0, into.length, at)).bytesRead,
        close: () => file.close(),
      };
    },
    async append(name, at) {
      const { O_CREAT, O_RDWR } = files.constants;
      const file = await files.open(path(name), O_RDWR | O_CREAT).catch(failing(`opening ${name}`));
      await file.truncate(at).catch(failing(`opening ${name}`));
      let end = at;
      return {
        async write(piece) {
          for (let from = 0; from < piece.length; ) {
            const { bytesWritten } = await file
              .write(piece, from, piece.length - from, end)
              .catch(failing(`${piece.length} bytes of ${name}`));
            from += bytesWritten;
            end += bytesWritten;
          }
        },
        async close() {
          await file.datasync().catch(() => undefined);
          await file.close();
        },
      };
    },
    async put(name, bytes) {
      const aside = path(`${name}.${process.pid}-${++temporary}-${Date.now().toString(36)}.tmp`);
      try {
        await files.writeFile(aside, bytes);
        await files.rename(aside, path(name));
      } catch (error) {
        await files.unlink(aside).catch(() => undefined);
        failing(name)(error);
      }
    },
    rename: (from, to) => files.rename(path(from), path(to)).catch(failing(`renaming ${from}`)),
    remove: (name) => files.rm(path(name), { force: true }).catch(failing(`removing ${name}`)),
    async list() {
      const found: { name: string; bytes: number }[] = [];
      for (const entry of (await files.readdir(folder, { withFileTypes: true }).catch(absent)) ??
        []) {
        if (!entry.isFile()) continue;
        const stat = await files.stat(path(entry.name)).catch(() => null);
        if (stat) found.push({ name: entry.name, bytes: stat.size });
      }
      return found;
    },
    async free() {
      const stat = await files.statfs(folder).catch(() => null);
      return stat ? stat.bavail * stat.bsize : null;
    },
    lock: (name, options) =>
      fileLock(path(`${name}.lock`), options).catch((error: unknown) => {
        if (options?.signal?.aborted) throw error;
        return failing(`locking ${name}`)(error);
      }),
  };
  return store;
}
