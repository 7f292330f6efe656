// Owns one request for one file, or the rest of one: what is sent, and what each possible answer means. Called by
// download_reader.ts and download.ts. Surprise: a server may answer a request for the rest with all of it, or with other
// bytes than asked; what counts is that the bytes from some offset on arrive, the hash does the rest.
import { budgetSpent, shownUrl } from './failures.ts';
import * as failures from './failures.ts';
import type { Origin } from './cache/partial.ts';
import type { ReadyOptions } from './download_options.ts';
import { Failure, retryAfterMs } from './download_retry.ts';
import { clockMs, isNode } from '../host.ts';
import { mayAddHeaders } from './platform.ts';
import type { Answered, Fetcher } from './socket_fetch.ts';

/** What all requests of a download share. */
export interface Network {
  /** Folders of the model, ending in "/"; a query there goes with every request. */
  mirrors: readonly URL[];
  fetch: Fetcher;
  options: ReadyOptions;
  /** The mirror that is asked first for the next file. */
  first: number;
  /** Requests made so far, those that servers sent on elsewhere twice. */
  requests: number;
  /** Whether the host's own HTTP cache should stay out of it, since ours keeps the bytes. */
  ownCache: boolean;
}

export interface Wanted {
  file: string;
  mirror: number;
  /** From which byte on. */
  from: number;
  /** How many it has in all; null when nobody knows. */
  bytes: number | null;
  /** Where the bytes before `from` came from. */
  origin: Origin | null;
  /** Whether to ask for the rest alone. */
  range: boolean;
  /** What is there already: the answer may be that it is still right. */
  unlessEtag?: string | null;
  /** The same by its date, for servers without etags. */
  unlessModified?: string | null;
  stallMs?: number;
}

export interface Answer {
  /** The next bytes, or null at the end; rejects with a Failure. */
  next(): Promise<Uint8Array | null>;
  /** Instead of next(), where it can be: fills the front of `into`; resolves to how many bytes came, 0 at the end. */
  read: ((into: Uint8Array) => Promise<number>) | null;
  /** How many of them lie before the byte that was wanted. */
  skip: number;
  origin: Origin | null;
  /** As it came, weak ones too. */
  etag: string | null;
  /** Last-Modified, as it came. */
  modified: string | null;
  /** How many bytes come, where the server says so. */
  length: number | null;
  /** What is there is still right, no bytes come. */
  unchanged: boolean;
  /** It came from elsewhere: that took another request. */
  redirected: boolean;
  cancel(): void;
}

/** An answer that cannot be used because of the way it was asked: ask for the whole file instead. */
export class RangeRefused extends Failure {}

/** The file at the server is another one by now. */
export class FileChanged extends Error {}

export function urlOf({ mirrors }: Network, file: string, mirror: number): URL {
  const base = mirrors[mirror] as URL;
  const url = new URL(file, base);
  url.search = base.search;
  return url;
}

/** What next() reads at a time where nobody says how much. */
const pieceBytes = 64 << 10;

/** A timer later than this was held up with everything else: a frozen page, a sleeping machine, a long computation. */
const lateMs = 1000;

/** Asks; rejects with a Failure, an OcelliError "request_budget_exceeded", or the signal's reason. */
export async function ask(
  network: Network,
  wanted: Wanted,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const { file, mirror } = wanted;
  const url = urlOf(network, file, mirror);
  const where = shownUrl(url);
  const stallMs = wanted.stallMs ?? network.options.stallMs;
  const headers = await headersFor(network, wanted, url);
  signal?.throwIfAborted();
  if (network.requests >= network.options.requestsMax)
    throw budgetSpent(file, network.options.requestsMax);
  network.requests++;

  const stop = new AbortController();
  const abort = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const cancel = (): void => {
    signal?.removeEventListener('abort', abort);
    stop.abort();
  };
  /** `work`, unless nothing happens for too long. */
  const watched = async <T>(work: Promise<T>): Promise<T> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<never>((_, reject) => {
      const wait = (again: boolean): void => {
        const start = clockMs();
        timer = setTimeout(() => {
          // Then what has come meanwhile is still to be read; but hidden pages have late timers only.
          if (again && clockMs() - start - stallMs > lateMs) wait(false);
          else reject(new Failure(failures.stalled(file, where, stallMs)));
        }, stallMs);
      };
      wait(true);
    });
    try {
      return await Promise.race([work, silence]);
    } catch (error) {
      cancel();
      signal?.throwIfAborted();
      throw error instanceof Failure ? error : lost(file, where, error);
    } finally {
      clearTimeout(timer);
    }
  };

  const { credentials } = network.options;
  // Not as a method: browsers' own fetch refuses any `this` but the global one.
  const { fetch: fetcher } = network;
  const response = await watched(
    fetcher(url.href, {
      headers,
      signal: stop.signal,
      ...(credentials && { credentials }),
      ...(network.ownCache && { cache: 'no-store' as const }),
    }),
  );
  const { redirected = false } = response;
  if (redirected) network.requests++;
  let skip: number;
  try {
    skip = firstByte(response, wanted, where);
  } catch (error) {
    cancel();
    throw error;
  }
  const etag = response.headers.get('etag');
  const body = response.body?.getReader() ?? null;
  const into = response.read?.bind(response);
  const read = into ? (place: Uint8Array) => watched(into(place)) : null;
  return {
    skip,
    etag,
    modified: response.headers.get('last-modified'),
    length: lengthOf(response.headers),
    origin: etag && !etag.startsWith('W/') ? { url: where, etag } : null,
    unchanged: response.status === 304,
    redirected,
    read,
    async next() {
      if (read) {
        const piece = new Uint8Array(pieceBytes);
        const count = await read(piece);
        return count > 0 ? piece.subarray(0, count) : null;
      }
      if (!body) return null;
      const { done, value } = await watched(body.read());
      if (done) signal?.removeEventListener('abort', abort);
      return done ? null : value;
    },
    cancel,
  };
}

async function headersFor(network: Network, wanted: Wanted, url: URL): Promise<Headers> {
  const { headers: given } = network.options;
  const headers = new Headers(typeof given === 'function' ? await given(url.href) : given);
  // Ranges and lengths are of the bytes as they are stored; browsers decide about this themselves.
  if (isNode && !headers.has('accept-encoding')) headers.set('accept-encoding', 'identity');
  const { from, range, origin, unlessEtag, unlessModified } = wanted;
  if (from > 0 && range) {
    headers.set('range', `bytes=${from}-`);
    if (origin?.url === shownUrl(url) && mayAddHeaders(url)) headers.set('if-range', origin.etag);
  }
  if (unlessEtag && mayAddHeaders(url)) headers.set('if-none-match', unlessEtag);
  if (unlessModified && mayAddHeaders(url)) headers.set('if-modified-since', unlessModified);
  return headers;
}

/** Where the answer's bytes begin, counted back from the byte that was wanted; throws a Failure when they do not help. */
function firstByte(response: Answered, wanted: Wanted, where: string): number {
  const { status, headers } = response;
  const { file, from, bytes, origin, range } = wanted;
  if (status === 304 && (wanted.unlessEtag || wanted.unlessModified)) return 0;
  if (status === 401 || status === 403)
    throw new Failure(failures.accessDenied(file, where, status), { permanent: true });
  if (status === 404 || status === 410)
    throw new Failure(failures.fileMissing(file, where, status), { permanent: true });
  if (status === 416) {
    const total = /\/(\d+)\s*$/.exec(headers.get('content-range') ?? '')?.[1];
    if (bytes !== null && total !== undefined && Number(total) !== bytes)
      throw tooLongOrShort(file, where, Number(total), bytes);
    throw new RangeRefused(failures.badStatus(file, where, status), { permanent: !range });
  }
  if (status !== 200 && status !== 206) {
    const transient = status === 408 || status === 425 || status === 429 || status >= 500;
    const waitMs = transient ? retryAfterMs(headers.get('retry-after')) : 0;
    throw new Failure(failures.badStatus(file, where, status), { permanent: !transient, waitMs });
  }
  const type = headers.get('content-type') ?? '';
  if (/^\s*(text\/html|application\/xhtml)/i.test(type))
    throw new Failure(failures.webPage(file, where, type), { permanent: true });
  return status === 206 ? partStart(headers, wanted, where) : wholeStart();

  function wholeStart(): number {
    const length = lengthOf(headers);
    if (bytes !== null && length !== null && length !== bytes)
      throw tooLongOrShort(file, where, length, bytes);
    const etag = headers.get('etag');
    if (from > 0 && origin?.url === where && etag && etag !== origin.etag)
      throw new FileChanged(`${file} has changed at ${where} while it was being fetched`);
    return from;
  }
}

/** The body's bytes, where they are counted as they are stored. */
function lengthOf(headers: Headers): number | null {
  const length = headers.get('content-length');
  const encoded = !/^(identity)?$/i.test(headers.get('content-encoding') ?? '');
  return length === null || encoded ? null : Number(length);
}

function partStart(headers: Headers, { file, from, bytes, range }: Wanted, where: string): number {
  const header = headers.get('content-range');
  if (header === null) return range ? 0 : from; // across origins it may be hidden
  const part = /^\s*bytes\s+(\d+)-\d+\/(\d+|\*)\s*$/i.exec(header);
  const start = Number(part?.[1] ?? Infinity);
  const total = part?.[2] ?? '*';
  if (bytes !== null && total !== '*' && Number(total) !== bytes)
    throw tooLongOrShort(file, where, Number(total), bytes);
  if (start <= from) return from - start;
  const cause = new Error(`it sent the range ${JSON.stringify(header)} where byte ${from} is next`);
  throw new RangeRefused(failures.connectionLost(file, where, cause), { permanent: !range });
}

function tooLongOrShort(file: string, where: string, found: number, want: number): Failure {
  return new Failure(failures.wrongLength(file, where, found, want), { permanent: true });
}

function lost(file: string, where: string, error: unknown): Failure {
  const loop = /redirect/i.test(failures.reasonOf(error));
  return loop
    ? new Failure(failures.redirectLoop(file, where, error), { permanent: true })
    : new Failure(failures.connectionLost(file, where, error));
}
