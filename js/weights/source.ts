// Owns where a model's bytes come from: a folder, a URL prefix, or whatever a caller provides. Called by
// thread/engine.ts. Surprise: nothing is verified here; the core checks each shard's sha256 when it is committed, and tells
// the source what came of it.
import { OcelliError } from '../errors.ts';
import { isNode, nodeModule } from '../host.ts';
import { downloadSource } from './download.ts';
import { manifestMismatch } from './failures.ts';
import { sha256Hex } from './hash.ts';
import { plainOptions, type PlainSourceOptions, type SourceOptions } from './download_options.ts';
import type { Fetcher } from './socket_fetch.ts';

export interface ShardInfo {
  sha256: string;
  bytes: number;
  holds: string[];
}

/** The part of manifest.json that JavaScript reads; see models/FORMAT.md. */
export interface Manifest {
  name: string;
  /** Only in the cache's own records. */
  kind?: 'adapter';
  config: { text: { context: number; layers: number; hidden: number; vocab: number } };
  precision: { linear: string; vision: string; embedding: string };
  shards: ShardInfo[];
}

/** A model as bytes. A shard may come whole or as a stream of pieces. */
export interface ShardSource {
  manifest(signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * After `error`, also when the source has been closed: another manifest, where that one may be what was wrong; null where
   * there is none. The source is open again.
   */
  otherManifest?(error: unknown, signal?: AbortSignal): Promise<Uint8Array | null>;
  shard(
    index: number,
    info: ShardInfo,
    signal?: AbortSignal,
  ): Promise<Uint8Array | ReadableStream<Uint8Array>>;
  /** By which another thread can make the same source: what sourceFrom() was given. */
  name?: string;
  options?: PlainSourceOptions;
  /** Where bytes can be read to any place: used instead of shard(), so that nothing is copied. */
  open?(index: number, info: ShardInfo, signal?: AbortSignal): Promise<ShardReader>;
  /** How many shards may be on their way at a time, once the manifest is there; 1 by default. */
  readonly parallel?: number;
  /**
   * Told what a shard's bytes were worth when they have all come: whether their sha256 held. Resolves to whether to ask for
   * it again, which is for bytes that were wrong.
   */
  settle?(index: number, info: ShardInfo, good: boolean): Promise<boolean>;
  /** Lets go of everything that it holds; what has come so far stays where it is kept. */
  close?(): Promise<void>;
}

/** A shard's bytes in order. */
export interface ShardReader {
  /** Fills the front of `into`; resolves to how many bytes came, 0 at the end. */
  read(into: Uint8Array): Promise<number>;
  close(): Promise<void>;
  /** Bytes that have come over a network so far. */
  readonly fetched?: number;
}

export function shardFile(info: ShardInfo): string {
  return `${info.sha256}.safetensors`;
}

/**
 * A source for a folder's path (Node), a `file:` URL or an http(s) URL; a URL names the folder. `options` are for http(s):
 * how shards are fetched, and where they are kept.
 */
export function sourceFrom(
  model: string | URL,
  fetcher: Fetcher = fetch,
  options: SourceOptions = {},
): ShardSource {
  const text = String(model);
  const source = sourceOf(model, text, fetcher, options);
  // Functions of the caller's cannot cross into another thread.
  const plain = fetcher === fetch ? plainOptions(options) : null;
  if (plain) {
    source.name = text;
    if (Object.keys(plain).length > 0) source.options = plain;
  }
  return source;
}

function sourceOf(
  model: string | URL,
  text: string,
  fetcher: Fetcher,
  options: SourceOptions,
): ShardSource {
  if (/^https?:\/\//i.test(text)) return downloadSource(text, fetcher, options);
  const folder = text.replace(/(^|\/)(manifest\.json)?$/, '$1') || '.';
  const pin = options.manifestSha256?.toLowerCase();
  if (model instanceof URL || /^file:/i.test(text))
    return folderSource(new URL(folder.endsWith('/') ? folder : `${folder}/`), pin);
  return folderSource(folder, pin);
}

function missingFile(name: string, reason: string, cause?: unknown): OcelliError {
  return new OcelliError(500, 'io_error', `${name} cannot be read: ${reason}`, null, cause);
}

/** How much is read, hashed or sent at a time. */
export const pieceBytes = 4 << 20;

const convertHint =
  'the folder looks like a Hugging Face checkpoint, which `ocelli convert` makes a container of';

function folderSource(folder: string | URL, pin: string | undefined): ShardSource {
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
      const { readFile, stat } = await nodeModule('node:fs/promises');
      const bytes = await readFile(path).catch(async (error: Error) => {
        const checkpoint = await stat(await pathOf('config.json')).catch(() => null);
        const hint = checkpoint ? `; ${convertHint}` : '';
        throw missingFile(path, `${error.message}${hint}`, error);
      });
      const found = pin === undefined ? pin : await sha256Hex(bytes);
      if (found !== pin) throw manifestMismatch(path, found ?? '', pin ?? '');
      return bytes;
    },
    shard: async (index, info) => streamOf(await open(index, info)),
    open,
  };
}

/** What a reader reads, as a stream; one piece at a time is read ahead. */
export function streamOf(reader: ShardReader): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = new Uint8Array(pieceBytes);
        const bytes = await reader.read(piece);
        if (bytes > 0) return controller.enqueue(piece.subarray(0, bytes));
        await reader.close();
        controller.close();
      },
      cancel: () => reader.close(),
    },
    { highWaterMark: 1 },
  );
}
