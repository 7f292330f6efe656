// Owns reading a LoRA adapter's two files, from a folder or from servers. Called by adapters.ts. Surprise: no manifest
// vouches for an adapter; a caller who has the sha256 of its tensors can give it, and then no server has to be trusted.
import { OcelliError } from '../errors.ts';
import { isNode, nodeModule } from '../host.ts';
import { type DownloadOptions, readyOptions } from './download_options.ts';
import { modelUrl } from './download.ts';
import { fetchFile } from './download_file.ts';
import type { Network } from './download_request.ts';
import { sha256Hex } from './hash.ts';

/** Where an adapter's files are. */
export interface AdapterPlace {
  /** A folder's path (Node), or a URL of the folder. */
  from: string | URL;
  /** The sha256 of adapter_model.safetensors. */
  sha256?: string;
}

export interface AdapterFiles {
  /** The text of adapter_config.json. */
  config: string;
  /** The bytes of adapter_model.safetensors. */
  tensors: Uint8Array;
}

const configFile = 'adapter_config.json';
const tensorsFile = 'adapter_model.safetensors';
const configBytesMax = 1 << 20;
const tensorsBytesMax = 1 << 30;

/** Reads both files, checks the sha256 where it is known. Rejects with an OcelliError. */
export async function readAdapterFiles(
  { from, sha256 }: AdapterPlace,
  fetcher: typeof fetch,
  options: DownloadOptions = {},
): Promise<AdapterFiles> {
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    const message = `sha256 is ${sha256}; it must be 64 hex digits`;
    throw new OcelliError(400, 'invalid_value', message, 'sha256');
  }
  const read = /^https?:\/\//i.test(String(from))
    ? overNetwork(from, fetcher, options)
    : inFolder(from);
  const config = new TextDecoder().decode(await read(configFile, configBytesMax));
  const tensors = await read(tensorsFile, tensorsBytesMax);
  const found = sha256 === undefined ? sha256 : await sha256Hex(tensors);
  if (found !== sha256?.toLowerCase()) {
    const message = `${tensorsFile} of ${shown(from)} has the sha256 ${found}, the pinned one is ${sha256}`;
    throw new OcelliError(502, 'adapter_hash_mismatch', message, tensorsFile);
  }
  return { config, tensors };
}

const shown = (from: string | URL): string => String(from).replace(/[?#].*$/, '');

type Read = (file: string, bytesMax: number) => Promise<Uint8Array>;

function overNetwork(from: string | URL, fetcher: typeof fetch, options: DownloadOptions): Read {
  const network: Network = {
    mirrors: [modelUrl(from)],
    fetch: fetcher,
    // Mirrors and the manifest's pin are of the model.
    options: { ...readyOptions({ ...options, mirrors: [] }), manifestSha256: undefined },
    requests: 0,
    ownCache: false,
  };
  return (file, bytesMax) => fetchFile(network, file, bytesMax);
}

function inFolder(from: string | URL): Read {
  return async (file, bytesMax) => {
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
    if (size > bytesMax)
      return cannot(new Error(`it has ${size} bytes, at most ${bytesMax} are allowed`));
    return await readFile(path).catch(cannot);
  };
}
