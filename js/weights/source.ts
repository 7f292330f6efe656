// Owns where a model's bytes come from: a folder, a URL prefix, or whatever a caller provides. Called by
// thread/engine.ts. Surprise: nothing is verified here; the core checks each shard's sha256 when it is committed.
import { OcelliError } from '../errors.ts';
import { isNode, nodeModule } from '../host.ts';

export interface ShardInfo {
  sha256: string;
  bytes: number;
  holds: string[];
}

/** The part of manifest.json that JavaScript reads; see models/FORMAT.md. */
export interface Manifest {
  name: string;
  config: { text: { context: number; layers: number; hidden: number; vocab: number } };
  precision: { linear: string; vision: string; embedding: string };
  shards: ShardInfo[];
}

/** A model as bytes. A shard may come whole or as a stream of pieces. */
export interface ShardSource {
  manifest(): Promise<Uint8Array>;
  shard(index: number, info: ShardInfo): Promise<Uint8Array | ReadableStream<Uint8Array>>;
  /** By which another thread can make the same source: what sourceFrom() was given. */
  name?: string;
  /** Where bytes can be read to any place: used instead of shard(), so that nothing is copied. */
  open?(index: number, info: ShardInfo): Promise<ShardReader>;
}

/** A shard's bytes in order. */
export interface ShardReader {
  /** Fills the front of `into`; resolves to how many bytes came, 0 at the end. */
  read(into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

export function shardFile(info: ShardInfo): string {
  return `${info.sha256}.safetensors`;
}

/** A source for a folder's path (Node), a `file:` URL or an http(s) URL; a URL names the folder. */
export function sourceFrom(model: string | URL, fetcher: typeof fetch = fetch): ShardSource {
  const text = String(model);
  const source = sourceOf(model, text, fetcher);
  // A fetch of the caller's cannot cross into another thread.
  return fetcher === fetch ? { ...source, name: text } : source;
}

function sourceOf(model: string | URL, text: string, fetcher: typeof fetch): ShardSource {
  if (/^https?:\/\//i.test(text)) return urlSource(text, fetcher);
  if (model instanceof URL || /^file:/i.test(text))
    return folderSource(new URL(text.endsWith('/') ? text : `${text}/`));
  return folderSource(text);
}

function urlSource(text: string, fetcher: typeof fetch): ShardSource {
  const base = new URL(text.replace(/\/?(manifest\.json)?([?#].*)?$/, '/$2'));
  const open = async (name: string): Promise<Response> => {
    const url = new URL(name, base);
    url.search = base.search;
    let response: Response;
    try {
      response = await fetcher(url);
    } catch (error) {
      throw missingFile(
        `${url.origin}${url.pathname}`,
        error instanceof Error ? error.message : String(error),
        error,
      );
    }
    if (!response.ok)
      throw missingFile(`${url.origin}${url.pathname}`, `HTTP status ${response.status}`);
    return response;
  };
  return {
    manifest: async () => new Uint8Array(await (await open('manifest.json')).arrayBuffer()),
    async shard(_, info) {
      const response = await open(shardFile(info));
      return response.body ?? new Uint8Array(await response.arrayBuffer());
    },
  };
}

function missingFile(name: string, reason: string, cause?: unknown): OcelliError {
  return new OcelliError(500, 'io_error', `${name} cannot be read: ${reason}`, null, cause);
}

/** How much is read, hashed or sent at a time. */
export const pieceBytes = 4 << 20;

function folderSource(folder: string | URL): ShardSource {
  const pathOf = async (name: string): Promise<string> => {
    if (!isNode) throw missingFile(String(folder), 'this host has no files; give a URL');
    const { fileURLToPath } = await nodeModule('node:url');
    const path = typeof folder === 'string' ? folder : fileURLToPath(folder);
    return path.endsWith('/') ? path + name : `${path}/${name}`;
  };
  const open = async (_: number, info: ShardInfo): Promise<ShardReader> => {
    const path = await pathOf(shardFile(info));
    const files = await nodeModule('node:fs/promises');
    const readable = <T>(work: Promise<T>): Promise<T> =>
      work.catch((error: Error) => {
        throw missingFile(path, error.message, error);
      });
    const file = await readable(files.open(path));
    return {
      read: async (into) => (await readable(file.read(into, 0, into.length))).bytesRead,
      close: () => file.close(),
    };
  };
  return {
    async manifest() {
      const path = await pathOf('manifest.json');
      const { readFile } = await nodeModule('node:fs/promises');
      return await readFile(path).catch((error: Error) => {
        throw missingFile(path, error.message, error);
      });
    },
    async shard(index, info) {
      const file = await open(index, info);
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            const piece = new Uint8Array(pieceBytes);
            const bytes = await file.read(piece);
            if (bytes > 0) return controller.enqueue(piece.subarray(0, bytes));
            await file.close();
            controller.close();
          },
          cancel: () => file.close(),
        },
        { highWaterMark: 1 },
      );
    },
    open,
  };
}
