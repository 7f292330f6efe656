// Owns getting an image's bytes from whatever a message part names: data, http(s) and file URLs, bytes, blobs. Called
// by request.ts. Surprise: whether the bytes are an image at all is the core's business; only fetching is checked here.
import { readAll } from './bytes.ts';
import { badRequest, inPart, OcelliError } from './errors.ts';
import { isNode, nodeModule } from './host.ts';

export interface MediaOptions {
  fetch: typeof fetch;
  /** Whether `file:` URLs may be read (Node only). */
  fileImages: boolean;
  /** At most so many bytes of one image, encoded. */
  imageBytesMax: number;
  /** For a whole download. */
  imageTimeoutMs: number;
  signal: AbortSignal | undefined;
}

export const mediaDefaults = { imageBytesMax: 64 << 20, imageTimeoutMs: 15_000 };

/** The encoded bytes of the image that `from` names. Rejects with a BadRequestError that says what went wrong in the part
 *  at `path`. */
export async function imageBytes(
  from: unknown,
  path: string,
  options: MediaOptions,
): Promise<Uint8Array> {
  try {
    return await readImage(from, options);
  } catch (error) {
    throw inPart(error, path);
  }
}

async function readImage(from: unknown, options: MediaOptions): Promise<Uint8Array> {
  if (from instanceof Uint8Array) return limited(from, options);
  if (from instanceof ArrayBuffer) return limited(new Uint8Array(from), options);
  if (typeof Blob === 'function' && from instanceof Blob) {
    return limited(new Uint8Array(await from.arrayBuffer()), options);
  }
  if (from instanceof URL) return await fromUrl(from.href, options);
  if (typeof from === 'string') return await fromUrl(from.trim(), options);
  const got = from === undefined ? 'nothing' : from === null ? 'null' : typeof from;
  throw unusable(`an image must be given as a URL or as bytes, got ${got}`);
}

function unusable(message: string, cause?: unknown): OcelliError {
  return badRequest('invalid_image_url', message, null, cause);
}

function notFetched(host: string, why: string, cause?: unknown): OcelliError {
  const message = `the image at ${host} cannot be fetched: ${why}`;
  return badRequest('image_fetch_failed', message, null, cause);
}

function limited(bytes: Uint8Array, options: MediaOptions): Uint8Array {
  if (bytes.length > options.imageBytesMax)
    throw tooLarge(`an image of ${bytes.length} bytes`, options);
  return bytes;
}

function tooLarge(what: string, options: MediaOptions): OcelliError {
  return badRequest(
    'image_too_large',
    `${what} is larger than the limit of ${options.imageBytesMax} bytes`,
  );
}

async function fromUrl(text: string, options: MediaOptions): Promise<Uint8Array> {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === 'data') return limited(fromDataUrl(text), options);
  if (scheme === 'http' || scheme === 'https') return await download(text, options);
  if (scheme === 'file') return await fromFile(text, options);
  const shown = JSON.stringify(text.slice(0, 60));
  if (!scheme)
    throw unusable(`the image URL ${shown} has no scheme; data:, http: and https: are known`);
  throw unusable(
    `the image URL ${shown} has the scheme ${scheme}:; data:, http: and https: are known`,
  );
}

/** Any data URL: parameters in any order, base64 of either alphabet with or without padding, or percent-encoding. */
export function fromDataUrl(text: string): Uint8Array {
  const comma = text.indexOf(',');
  if (comma < 0) throw unusable('the data URL has no comma, so it has no data');
  const isBase64 = /;\s*base64\s*$/i.test(text.slice(5, comma));
  const data = text.slice(comma + 1);
  if (!isBase64) return percentBytes(data);
  let plain = data.includes('%') ? new TextDecoder().decode(percentBytes(data)) : data;
  plain = plain
    .replace(/[\s=]+/g, '')
    .replace(/-/g, '+')
    .replace(/_/g, '/');
  let binary: string;
  try {
    binary = atob(plain);
  } catch (error) {
    throw unusable(`the data URL's ${plain.length} characters are not base64`, error);
  }
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

function percentBytes(data: string): Uint8Array {
  const source = new TextEncoder().encode(data);
  const bytes = new Uint8Array(source.length);
  let length = 0;
  for (let i = 0; i < source.length; i++) {
    const hex =
      source[i] === 0x25
        ? Number.parseInt(String.fromCharCode(source[i + 1] ?? 0, source[i + 2] ?? 0), 16)
        : NaN;
    if (!Number.isNaN(hex)) i += 2;
    bytes[length++] = Number.isNaN(hex) ? (source[i] ?? 0) : hex;
  }
  return bytes.subarray(0, length);
}

async function fromFile(text: string, options: MediaOptions): Promise<Uint8Array> {
  if (!isNode || !options.fileImages)
    throw unusable('file: image URLs are not allowed here; use data: or http(s):');
  const { readFile, stat } = await nodeModule('node:fs/promises');
  try {
    // file:picture.png, without a slash, lies in the working folder.
    const { pathToFileURL } = await nodeModule('node:url');
    const url = new URL(text.replace(/^file:(?!\/)/i, ''), pathToFileURL(`${process.cwd()}/`));
    const { size } = await stat(url);
    if (size > options.imageBytesMax) throw tooLarge(`${text} with ${size} bytes`, options);
    return await readFile(url);
  } catch (error) {
    if (error instanceof OcelliError) throw error;
    throw unusable(
      `${text} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

async function download(text: string, options: MediaOptions): Promise<Uint8Array> {
  let host = 'the host';
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), options.imageTimeoutMs);
  const stop = (): void => timeout.abort();
  options.signal?.addEventListener('abort', stop);
  try {
    const url = new URL(text);
    host = url.host;
    // Some hosts refuse a client without a name; browsers keep their own.
    const headers = isNode
      ? { 'user-agent': 'ocelli/0.1', accept: 'image/*,*/*;q=0.5' }
      : undefined;
    const { fetch: fetcher } = options;
    const response = await fetcher(url, { signal: timeout.signal, ...(headers && { headers }) });
    if (!response.ok) throw notFetched(host, `HTTP status ${response.status}`);
    const declared = Number(response.headers.get('content-length') ?? 0);
    if (declared > options.imageBytesMax)
      throw tooLarge(`the image at ${host} with ${declared} bytes`, options);
    return await readAll(response.body, options.imageBytesMax, () =>
      tooLarge(`the image at ${host}`, options),
    );
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (error instanceof OcelliError) throw error;
    if (timeout.signal.aborted)
      throw notFetched(host, `no answer in ${options.imageTimeoutMs} ms`, error);
    throw notFetched(host, causeOf(error), error);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
  }
}

/** fetch() hides the reason ("fetch failed") in its cause. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || String(error.cause) : error.message;
}
