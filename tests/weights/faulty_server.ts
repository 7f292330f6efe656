// A server on loopback that serves a model and breaks it in every way a network does. Used by the tests of js/weights.
// Surprise: it counts what it has written to sockets, so that tests can say how many bytes a download took.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Manifest } from '../../js/weights/source.ts';

/** What happens to one request; without any of these it is served as a good server would. */
export interface Fault {
  /** Answers with this status, and maybe headers. */
  status?: number;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Cuts the connection after so many bytes of the body. */
  cutAfter?: number;
  /** Sends so many bytes, then nothing. */
  stallAfter?: number;
  /** Ends the body there as if it were whole (no content-length). */
  endAfter?: number;
  /** Answers a range with all of it. */
  ignoreRange?: boolean;
  /** Changes one byte of what is sent: its number in the file. */
  damageAt?: number;
  etag?: string | null;
  /** Bytes a second. */
  throttle?: number;
  /** Adds bytes to the end. */
  extra?: number;
  /** Sends another range than was asked for. */
  shiftRange?: number;
  /** Says that it sends this range, whatever it sends. */
  saysRange?: string;
  /** Milliseconds before the answer begins. */
  delayMs?: number;
}

export interface Request {
  path: string;
  /** What stands behind the path: "" or "?...". */
  search: string;
  file: string;
  range: string | null;
  headers: IncomingMessage['headers'];
  /** How many requests for this file came before. */
  nth: number;
}

export interface FaultyServer {
  url: string;
  requests: Request[];
  /** Body bytes written. */
  sent: number;
  /** The same for each file. */
  sentOf: Map<string, number>;
  /** What happens to a request. */
  fault: (request: Request) => Fault | null | undefined;
  files: Map<string, Uint8Array>;
  shardRequests(): Request[];
  close(): Promise<void>;
}

export interface MadeModel {
  manifest: Uint8Array;
  shards: Uint8Array[];
  info: Manifest;
  files: Map<string, Uint8Array>;
}

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');

/** A model of random bytes; no core would take it, but every loader must. */
export function randomShards(
  sizes: readonly number[],
  name = 'random',
  bytesOf: (size: number) => Uint8Array = randomBytes,
): MadeModel {
  const shards = sizes.map((size) => new Uint8Array(bytesOf(size)));
  const info = {
    format: 'ocelli',
    version: 1,
    name,
    config: { text: { context: 8192, layers: sizes.length - 1, hidden: 8, vocab: 100 } },
    precision: { linear: 'u4', vision: 'f16', embedding: 'f16' },
    shards: shards.map((bytes, n) => ({
      sha256: sha256(bytes),
      bytes: bytes.length,
      holds: n === 0 ? ['tokenizer', 'vision'] : [`layer.${n - 1}`],
    })),
  } as Manifest;
  const manifest = new TextEncoder().encode(JSON.stringify(info));
  const files = new Map<string, Uint8Array>([['manifest.json', manifest]]);
  for (const [n, bytes] of shards.entries())
    files.set(`${info.shards[n]!.sha256}.safetensors`, bytes);
  return { manifest, shards, info, files };
}

export async function faultyServer(files: Map<string, Uint8Array>): Promise<FaultyServer> {
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const { pathname: path, search } = new URL(request.url ?? '/', 'http://host');
    const file = path.split('/').at(-1) ?? '';
    const nth = counts.get(file) ?? 0;
    counts.set(file, nth + 1);
    const { headers } = request;
    const one = { path, search, file, range: headers.range ?? null, headers, nth };
    self.requests.push(one);
    const fault = self.fault(one) ?? {};
    response.on('error', () => undefined);
    const count = (bytes: number): void => {
      self.sent += bytes;
      self.sentOf.set(file, (self.sentOf.get(file) ?? 0) + bytes);
    };
    void answer(request, response, self.files.get(file), fault, count);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const self: FaultyServer = {
    url: `http://127.0.0.1:${port}/model/`,
    requests: [],
    sent: 0,
    sentOf: new Map(),
    fault: () => null,
    files,
    shardRequests: () => self.requests.filter(({ file }) => file.endsWith('.safetensors')),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return self;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array | undefined,
  fault: Fault,
  count: (bytes: number) => void,
): Promise<void> {
  if (fault.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
  if (fault.status !== undefined) {
    response.writeHead(fault.status, { 'content-type': 'text/plain', ...fault.headers });
    response.end(fault.body ?? 'no');
    return;
  }
  if (!bytes) {
    response.writeHead(404).end('not found');
    return;
  }
  const etag = fault.etag === undefined ? `"${sha256(bytes).slice(0, 16)}"` : fault.etag;
  if (etag !== null && request.headers['if-none-match'] === etag) {
    response.writeHead(304, { etag }).end();
    return;
  }
  const modified = fault.headers?.['last-modified'];
  if (modified !== undefined && request.headers['if-modified-since'] === modified) {
    response.writeHead(304, fault.headers).end();
    return;
  }
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const condition = request.headers['if-range'];
  const ranged = asked && !fault.ignoreRange && (condition === undefined || condition === etag);
  let from = ranged ? Number(asked[1]) : 0;
  const total = bytes.length + (fault.extra ?? 0);
  if (ranged && from >= total) {
    response.writeHead(416, { 'content-range': `bytes */${total}` }).end();
    return;
  }
  if (ranged) from = Math.max(0, from + (fault.shiftRange ?? 0));
  const copy = new Uint8Array(total);
  copy.set(bytes);
  if (fault.damageAt !== undefined) copy[fault.damageAt] = (copy[fault.damageAt] ?? 0) ^ 0x55;
  let body = copy.subarray(from);
  const length = body.length;
  const until = fault.cutAfter ?? fault.stallAfter ?? fault.endAfter;
  if (until !== undefined) body = body.subarray(0, until);
  response.writeHead(ranged ? 206 : 200, {
    'content-type': 'application/octet-stream',
    ...(etag !== null && { etag }),
    ...(ranged
      ? { 'content-range': fault.saysRange ?? `bytes ${from}-${total - 1}/${total}` }
      : { 'accept-ranges': 'bytes' }),
    ...(fault.endAfter === undefined && { 'content-length': String(length) }),
    ...fault.headers,
  });
  response.flushHeaders();
  const step = fault.throttle ? Math.max(1, Math.ceil(fault.throttle / 50)) : 1 << 16;
  for (let at = 0; at < body.length && !response.destroyed; at += step) {
    const piece = body.subarray(at, at + step);
    count(piece.length);
    await new Promise<void>((resolve) => {
      response.once('close', resolve);
      response.write(piece, () => {
        response.off('close', resolve);
        resolve();
      });
    });
    if (fault.throttle) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (fault.cutAfter !== undefined && body.length < length) response.destroy();
  else if (fault.stallAfter === undefined || body.length === length) response.end();
}
