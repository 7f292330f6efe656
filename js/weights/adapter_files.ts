// Owns reading a LoRA adapter's two files, from a folder or from servers through the cache. Called by adapters.ts. Surprise:
// no manifest vouches for an adapter. Bytes whose sha256 the caller knows are taken from wherever they lie; of others a server
// is asked each time whether they are still right, and what lies in the cache is used when none answers.
import { OcelliError } from '../errors.ts';
import { isNode, nodeModule } from '../host.ts';
import {
  type AdapterBytes,
  type AdapterCache,
  type AdapterFile,
  configFile,
  openAdapterCache,
  tensorsFile,
} from './adapter_cache.ts';
import { modelUrl } from './download.ts';
import { fetchFile } from './download_file.ts';
import { readyOptions, type SourceOptions } from './download_options.ts';
import type { Network } from './download_request.ts';
import { sha256Hex } from './hash.ts';

/** Where an adapter's files are. */
export interface AdapterPlace {
  /** A folder's path (Node), or a URL of the folder. */
  from: string | URL;
  /** The sha256 of adapter_model.safetensors. With both known and the files in the cache, no server is asked. */
  sha256?: string;
  /** The sha256 of adapter_config.json. */
  configSha256?: string;
}

export interface AdapterFiles {
  /** The text of adapter_config.json. */
  config: string;
  /** The bytes of adapter_model.safetensors. */
  tensors: Uint8Array;
}

const bytesMax: Record<AdapterFile, number> = { [configFile]: 1 << 20, [tensorsFile]: 1 << 30 };

/** Reads both files, checks the hashes that are known. Rejects with an OcelliError, or the signal's reason. */
export async function readAdapterFiles(
  place: AdapterPlace,
  fetcher: typeof fetch,
  options: SourceOptions = {},
  signal?: AbortSignal,
): Promise<AdapterFiles> {
  const pins = {
    [configFile]: pinOf(place, 'configSha256'),
    [tensorsFile]: pinOf(place, 'sha256'),
  };
  const { from } = place;
  const [config, tensors] = /^https?:\/\//i.test(String(from))
    ? await overNetwork(from, pins, fetcher, options, signal)
    : await inFolder(from, pins);
  return { config: new TextDecoder().decode(config), tensors };
}

/** By file; undefined where it is not known. */
type Pins = Record<AdapterFile, string | undefined>;

function pinOf(place: AdapterPlace, field: 'sha256' | 'configSha256'): string | undefined {
  const pin = place[field];
  if (pin === undefined || /^[0-9a-f]{64}$/i.test(pin)) return pin?.toLowerCase();
  const message = `${field} is ${pin}; it must be 64 hex digits`;
  throw new OcelliError(400, 'invalid_value', message, field);
}

function checkPin(file: AdapterFile, from: string | URL, found: string, pin?: string): void {
  if (pin === undefined || found === pin) return;
  const message = `${file} of ${shown(from)} has the sha256 ${found}, the pinned one is ${pin}`;
  throw new OcelliError(502, 'adapter_hash_mismatch', message, file);
}

const shown = (from: string | URL): string => String(from).replace(/[?#].*$/, '');

async function overNetwork(
  from: string | URL,
  pins: Pins,
  fetcher: typeof fetch,
  options: SourceOptions,
  signal: AbortSignal | undefined,
): Promise<[config: Uint8Array, tensors: Uint8Array]> {
  const folder = modelUrl(from);
  // Mirrors and the manifest's pin are of the model.
  const ready = { ...readyOptions({ ...options, mirrors: [] }), manifestSha256: undefined };
  const cache = await openAdapterCache(folder, options.cache, signal);
  const { ownCache } = cache;
  const network: Network = {
    mirrors: [folder],
    fetch: fetcher,
    options: ready,
    first: 0,
    requests: 0,
    ownCache,
  };
  try {
    const known = {
      [configFile]: await cache.known(configFile, pins[configFile]),
      [tensorsFile]: await cache.known(tensorsFile, pins[tensorsFile]),
    };
    const bring = (file: AdapterFile): Promise<AdapterBytes> =>
      current(file, known[file], pins[file], network, cache, signal);
    let config = known[configFile];
    let tensors = known[tensorsFile];
    try {
      const now = [await bring(configFile), await bring(tensorsFile)] as const;
      [config, tensors] = now;
    } catch (error) {
      signal?.throwIfAborted();
      // Of two versions of an adapter never one half each.
      if (!config || !tensors) throw error;
    }
    await cache.keep(config, tensors);
    return [config.content, tensors.content];
  } finally {
    await cache.close();
  }
}

/** The file as it is now: what is known already, if its hash is pinned or the server says that it is still right. */
async function current(
  file: AdapterFile,
  known: AdapterBytes | null,
  pin: string | undefined,
  network: Network,
  cache: AdapterCache,
  signal: AbortSignal | undefined,
): Promise<AdapterBytes> {
  if (known && pin !== undefined) return known;
  const keeping = file === tensorsFile ? cache.keeping : null;
  const how = { bytesMax: bytesMax[file], known, keeping };
  const { content, ...validators } = await fetchFile(network, file, how, signal);
  if (!content) return known as AdapterBytes;
  const sha256 = await sha256Hex(content);
  try {
    checkPin(file, network.mirrors[0] as URL, sha256, pin);
  } catch (error) {
    if (keeping) await cache.discard();
    throw error;
  }
  return { ...validators, content, sha256 };
}

async function inFolder(
  from: string | URL,
  pins: Pins,
): Promise<[config: Uint8Array, tensors: Uint8Array]> {
  const read = async (file: AdapterFile): Promise<Uint8Array> => {
    if (!isNode) {
      const message = `${shown(from)}: this host has no files; give a URL`;
      throw new OcelliError(400, 'io_error', message, file);
    }
    const { fileURLToPath } = await nodeModule('node:url');
    const { readFile, stat } = await nodeModule('node:fs/promises');
    const local = from instanceof URL || /^file:/i.test(from);
    const folder = local ? fileURLToPath(from) : from;
    const path = folder.endsWith('/') ? folder + file : `${folder}/${file}`;
    const cannot = (error: Error): never => {
      const message = `${path} cannot be read: ${error.message}`;
      throw new OcelliError(400, 'io_error', message, file, error);
    };
    const { size } = await stat(path).catch(cannot);
    if (size > bytesMax[file])
      return cannot(new Error(`it has ${size} bytes, at most ${bytesMax[file]} are allowed`));
    const bytes = await readFile(path).catch(cannot);
    if (pins[file] !== undefined) checkPin(file, from, await sha256Hex(bytes), pins[file]);
    return bytes;
  };
  return [await read(configFile), await read(tensorsFile)];
}
