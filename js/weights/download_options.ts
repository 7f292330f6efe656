// Owns how a model is fetched: the caller's options, their checks and their defaults. Called by download.ts, ai.ts and the
// command. Surprise: options without functions can cross into the thread that reads weights, which is the faster way.
import {
  checkForms,
  type Forms,
  headers,
  hexDigits,
  httpUrl,
  integer,
  listOf,
  oneOf,
} from '../forms.ts';
import { type CacheChoice, cacheForm } from './cache/choose.ts';
import { platformLimits } from './platform.ts';

export type HeaderMap = Record<string, string>;

export interface DownloadOptions {
  /** Other places that have the same model: URLs of its folder. Tried in turn. */
  mirrors?: readonly (string | URL)[];
  /** The sha256 of manifest.json: with it, and the hashes in there, no server has to be trusted. */
  manifestSha256?: string;
  /** Sent with every request; a function is asked before each one, with its URL. */
  headers?: HeaderMap | ((url: string) => HeaderMap | Promise<HeaderMap>);
  /** As fetch() has it. */
  credentials?: 'omit' | 'same-origin' | 'include';
  /** Shards on their way at a time, 1 to 32; 6 by default. */
  parallel?: number;
  /** Requests in all; 50 by default in edge isolates, elsewhere without limit. */
  requestsMax?: number;
  /** Attempts without a new byte, for each mirror, before it is given up; 6 by default. */
  attempts?: number;
  /** Milliseconds of silence after which a transfer counts as broken; 30,000 by default. */
  stallMs?: number;
  /** Milliseconds: the first retry waits up to this long, each later one up to twice as long; 500 by default. */
  retryMs?: number;
}

/** How a model that is given by name is read. */
export interface SourceOptions extends DownloadOptions {
  /** Where downloaded shards are kept; 'auto' by default. */
  cache?: CacheChoice;
}

/** The options without functions and URL objects: as they cross to another thread. */
export type PlainSourceOptions = Omit<SourceOptions, 'mirrors' | 'headers'> & {
  mirrors?: readonly string[];
  headers?: HeaderMap;
};

/** What of `options` crosses to another thread; null when that is not all. */
export function plainOptions(options: SourceOptions): PlainSourceOptions | null {
  const { mirrors, headers, ...rest } = options;
  if (typeof headers === 'function') return null;
  return {
    ...rest,
    ...(mirrors && { mirrors: mirrors.map(String) }),
    ...(headers && { headers }),
  };
}

export type ReadyOptions = Required<Omit<DownloadOptions, 'manifestSha256' | 'credentials'>> &
  Pick<DownloadOptions, 'manifestSha256' | 'credentials'>;

const forms: Forms<DownloadOptions> = {
  mirrors: listOf(httpUrl),
  manifestSha256: hexDigits(64),
  headers,
  credentials: oneOf('omit', 'same-origin', 'include'),
  parallel: integer(1, 32),
  requestsMax: integer(1),
  attempts: integer(1, 100),
  stallMs: integer(1, 3_600_000),
  retryMs: integer(0, 60_000),
};

/** Throws a BadRequestError for the first option that cannot be; `where` is put before its name. */
export function checkDownload(options: DownloadOptions, where = ''): void {
  checkForms(options, forms, where);
}

/** The options with defaults; throws a BadRequestError for the first one that cannot be. */
export function readyOptions(options: SourceOptions): ReadyOptions {
  checkForms<SourceOptions>(options, { ...forms, cache: cacheForm });
  const { parallel, requestsMax } = platformLimits();
  return {
    mirrors: options.mirrors ?? [],
    manifestSha256: options.manifestSha256?.toLowerCase(),
    headers: options.headers ?? {},
    credentials: options.credentials,
    parallel: options.parallel ?? parallel,
    requestsMax: options.requestsMax ?? requestsMax,
    attempts: options.attempts ?? 6,
    stallMs: options.stallMs ?? 30_000,
    retryMs: options.retryMs ?? 500,
  };
}
