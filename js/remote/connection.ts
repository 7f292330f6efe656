// Owns one exchange with an endpoint and its repetition: head, time-outs, retries, the pieces of the body. Called by
// answer.ts and remote_ai.ts. Surprise: redirects are not followed, since fetch() would make a GET of a POST and send the
// caller's headers to another server; the error says where to.
import type { OcelliError } from '../errors.ts';
import { Failure, pause, retryAfterMs } from '../weights/download_retry.ts';
import { shownUrl } from '../weights/failures.ts';
import { connectionLost, errorOfAnswer, redirected, timedOut, waitAsked } from './failures.ts';
import type { ReadyRemote } from './options.ts';

/** No pause is longer, whatever a server asks for. */
const pauseMsMax = 60_000;
const backoffMsMax = 8000;
/** What of a failure's body is read. */
const failureBytesMax = 64 << 10;

export interface Asked {
  url: URL;
  /** JSON to POST; null: GET. */
  body: string | null;
  /** Server-sent events are wanted. */
  stream?: boolean;
  /** Sent with this request alone. */
  headers?: Record<string, string>;
}

/** An answer whose status is a success. */
export interface Incoming {
  /** The endpoint, as it may be shown. */
  where: string;
  /** The next bytes, null at the end. Rejects with a Failure, or the signal's reason. */
  next(): Promise<Uint8Array | null>;
  /** Ends the connection; without effect after the end. */
  close(): void;
}

/**
 * Does `attempt` until it does not reject with a Failure that another attempt may mend. Rejects with that one's OcelliError,
 * what else `attempt` rejects with, or the signal's reason.
 */
export async function untilAnswered<T>(
  { retries, retryMs }: ReadyRemote,
  signal: AbortSignal,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let failures = 0; ; failures++) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const { permanent, waitMs } = error;
      if (permanent || failures >= retries || waitMs > pauseMsMax) throw error.error;
      const backoff = Math.min(backoffMsMax, retryMs * 2 ** failures);
      await pause(waitMs + Math.random() * backoff, signal);
    }
  }
}

/** Asks once. Rejects with a Failure, or the signal's reason. */
export async function connect(
  remote: ReadyRemote,
  asked: Asked,
  signal: AbortSignal,
): Promise<Incoming> {
  const { url, body, stream = false } = asked;
  const where = shownUrl(url);
  const { timeoutMs, stallMs } = remote;
  const headers = await headersFor(remote, asked);
  signal.throwIfAborted();
  const stop = new AbortController();
  const abort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  const close = (): void => {
    signal.removeEventListener('abort', abort);
    stop.abort();
  };
  /** `work`, unless it takes longer than `ms` or is aborted, whether `work` itself notices or not. */
  const watched = async <T>(work: Promise<T>, ms: number, what: string): Promise<T> => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let leave = (): void => undefined;
    const ended = new Promise<never>((_, reject) => {
      leave = () => reject(signal.reason);
      timer = setTimeout(() => reject(new Failure(timedOut(where, what, ms))), ms);
      stop.signal.addEventListener('abort', leave, { once: true });
    });
    try {
      return await Promise.race([work, ended]);
    } catch (error) {
      close();
      signal.throwIfAborted();
      throw error instanceof Failure ? error : new Failure(connectionLost(where, error));
    } finally {
      clearTimeout(timer);
      stop.signal.removeEventListener('abort', leave);
    }
  };

  // Not as a method: browsers' own fetch refuses any `this` but the global one.
  const { fetch: fetcher } = remote;
  const asking = fetcher(url.href, {
    method: body === null ? 'GET' : 'POST',
    headers,
    ...(body !== null && { body }),
    redirect: 'manual',
    signal: stop.signal,
  });
  const response = await watched(asking, timeoutMs, 'no answer has begun');
  const reader = response.body?.getReader();
  let waitMs = stream ? stallMs : timeoutMs;
  const next = async (): Promise<Uint8Array | null> => {
    signal.throwIfAborted();
    const piece = await watched(reader?.read() ?? over, waitMs, 'no more of the answer has come');
    waitMs = stallMs;
    if (!piece.done) return piece.value;
    close();
    return null;
  };
  if (response.ok) return { where, next, close };
  try {
    throw await failureOf(response, where, next);
  } finally {
    close();
  }
}

const over = Promise.resolve({ done: true as const, value: undefined });

async function headersFor(
  { headers: given, apiKey }: ReadyRemote,
  { url, body, stream, headers: own = {} }: Asked,
): Promise<Headers> {
  const headers = new Headers(own);
  headers.set('accept', stream ? 'text/event-stream' : 'application/json');
  if (body !== null) headers.set('content-type', 'application/json');
  if (apiKey !== null) headers.set('authorization', `Bearer ${apiKey}`);
  const more = typeof given === 'function' ? await given(url.href) : given;
  for (const [name, value] of Object.entries(more)) headers.set(name, value);
  return headers;
}

/** Statuses of 500 and more that stay what they are however often one asks. */
const lasting = [501, 505, 507, 508, 510, 511];

async function failureOf(
  response: Response,
  where: string,
  next: () => Promise<Uint8Array | null>,
): Promise<Failure> {
  const { status, headers, type } = response;
  if (type === 'opaqueredirect' || (status >= 300 && status < 400))
    return new Failure(redirected(where, status, targetOf(headers.get('location'), where)), {
      permanent: true,
    });
  const text = await bodyText(next, failureBytesMax).catch((error: unknown) => {
    if (error instanceof Failure) return '';
    throw error;
  });
  const error: OcelliError = errorOfAnswer(where, status, text, headers.get('x-error-code'));
  const should = headers.get('x-should-retry');
  const passing = status === 408 || status === 429 || status >= 500;
  const permanent =
    should === 'false' || (should !== 'true' && (!passing || lasting.includes(status)));
  const precise = Number(headers.get('retry-after-ms') ?? 0);
  const waitMs = precise > 0 ? precise : retryAfterMs(headers.get('retry-after'));
  return new Failure(error, { permanent, waitMs: waitMs || 1000 * waitOfText(text) });
}

function waitOfText(text: string): number {
  try {
    return waitAsked(JSON.parse(text));
  } catch {
    return 0;
  }
}

function targetOf(location: string | null, where: string): string | null {
  try {
    return location === null ? null : shownUrl(new URL(location, where));
  } catch {
    return null;
  }
}

/** All that comes as text, at most `bytesMax` bytes of it. */
export async function bodyText(
  next: () => Promise<Uint8Array | null>,
  bytesMax: number,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let length = 0;
  for (let piece = await next(); piece && length <= bytesMax; piece = await next()) {
    length += piece.length;
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}
