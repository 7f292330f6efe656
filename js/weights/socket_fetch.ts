// Owns fetch() for weights where there is Node: over sockets of its own (connection.ts), at a third of the processor time.
// Given to a source by the thread that reads weights. Surprise: whatever it does not do (proxies, compressed answers, other
// hosts than Node) it hands to the host's fetch().
import { isNode } from '../host.ts';
import { Connection } from './connection.ts';

/** What a download needs of a Response. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array> | null;
  readonly redirected?: boolean;
  /** Where there is no stream: fills the front of `into`; resolves to how many bytes came, 0 at the end. */
  read?(into: Uint8Array): Promise<number>;
}

/** fetch(), or what does the same for a download. */
export type Fetcher = (url: string, init?: RequestInit) => Promise<Answered>;

/** As fetch() has it. */
const redirectsMax = 20;

export const socketFetch: Fetcher = async (text, init = {}) => {
  const signal = init.signal ?? undefined;
  const headers = new Headers(init.headers);
  let url = new URL(text);
  for (let redirects = 0; hasSockets(url); redirects++) {
    signal?.throwIfAborted();
    const answer = await ask(url, headers, signal);
    const encoding = answer.headers.get('content-encoding') ?? 'identity';
    const location = answer.headers.get('location');
    const redirected = [301, 302, 303, 307, 308].includes(answer.status) && location !== null;
    if (!redirected && encoding === 'identity') return { ...answer, redirected: redirects > 0 };
    answer.close();
    if (!redirected) break;
    if (redirects === redirectsMax) throw new Error('redirect count exceeded');
    const next = new URL(location, url);
    if (next.origin !== url.origin)
      for (const secret of ['authorization', 'cookie', 'proxy-authorization'])
        headers.delete(secret);
    url = next;
  }
  return await fetch(url.href, { ...init, headers });
};

function hasSockets(url: URL): boolean {
  if (!isNode || 'Deno' in globalThis || process.versions['bun']) return false;
  if (process.env['NODE_USE_ENV_PROXY'] || process.execArgv.includes('--use-env-proxy'))
    return false;
  return /^https?:$/.test(url.protocol) && !url.username && !url.password;
}

interface Open extends Answered {
  close(): void;
}

async function ask(url: URL, headers: Headers, signal: AbortSignal | undefined): Promise<Open> {
  const asked = new Headers(headers);
  asked.set('host', url.host);
  for (const [name, value] of [
    ['accept', '*/*'],
    ['user-agent', 'ocelli'],
  ] as const)
    if (!asked.has(name)) asked.set(name, value);
  const lines = [...asked].map(([name, value]) => `${name}: ${value}\r\n`);
  const request = `GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`;
  for (let fresh = false; ; fresh = true) {
    const connection = await Connection.to(url, fresh);
    const abort = (): void => connection.close(signal?.reason);
    signal?.addEventListener('abort', abort);
    const forget = (): void => signal?.removeEventListener('abort', abort);
    try {
      signal?.throwIfAborted();
      connection.send(request);
      return await answerOf(connection, forget);
    } catch (error) {
      forget();
      connection.close();
      signal?.throwIfAborted();
      if (!connection.used) throw error; // else it may have been closed before it was asked
    }
  }
}

/** The head of the answer that comes next, and its body to be read. */
async function answerOf(connection: Connection, forget: () => void): Promise<Open> {
  let head = await headOf(connection);
  while (head.status < 200) head = await headOf(connection);
  const { status, headers } = head;
  const chunked = /\bchunked\s*$/i.test(headers.get('transfer-encoding') ?? '');
  const length = headers.get('content-length');
  if (!chunked && length !== null && !/^\d+$/.test(length))
    throw new Error(`its length is ${JSON.stringify(length)}`);
  const none = status === 204 || status === 304;
  /** Of the body, or of its chunk. */
  let left = none || chunked ? 0 : Number(length ?? Infinity);
  let more = chunked && !none;
  let ended = false;
  const end = (): number => {
    if (ended) return 0;
    ended = true;
    forget();
    if (left > 0 || /\bclose\b/i.test(headers.get('connection') ?? '')) connection.close();
    else connection.rest();
    return 0;
  };
  const read = async (into: Uint8Array): Promise<number> => {
    if (ended || into.length === 0) return 0;
    if (left === 0 && more) {
      left = await chunkBytes(connection);
      more = left > 0;
      if (!more) while ((await connection.line()) !== ''); // trailers
    }
    if (left === 0) return end();
    const some = await connection.some();
    if (some.length === 0) return end(); // what it lacks is the caller's to see
    const part = some.subarray(0, Math.min(left, into.length));
    into.set(part);
    connection.take(part.length);
    left -= part.length;
    if (left > 0 || !more) {
      if (left === 0) end();
      return part.length;
    }
    if ((await connection.line()) !== '') throw new Error('a chunk is not as long as it says');
    return part.length;
  };
  const close = (): void => {
    if (ended) return;
    ended = true;
    forget();
    connection.close();
  };
  if (left === 0 && !more) end();
  const readOrClose = (into: Uint8Array): Promise<number> =>
    read(into).catch((error: unknown) => {
      close();
      throw error;
    });
  return { status, headers, body: null, read: readOrClose, close };
}

async function headOf(connection: Connection): Promise<{ status: number; headers: Headers }> {
  const first = await connection.line();
  const status = /^HTTP\/1\.[01] (\d{3})( |$)/.exec(first)?.[1];
  if (status === undefined) throw new Error('the answer is no HTTP');
  const headers = new Headers();
  for (let line = await connection.line(); line !== ''; line = await connection.line()) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error('a line of the answer is no header');
    headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return { status: Number(status), headers };
}

async function chunkBytes(connection: Connection): Promise<number> {
  const size = /^([0-9a-f]{1,12})\s*(;|$)/i.exec(await connection.line())?.[1];
  if (size === undefined) throw new Error('a chunk has no size');
  return Number.parseInt(size, 16);
}
