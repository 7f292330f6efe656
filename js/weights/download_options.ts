// Owns how a model is fetched: the caller's options, their checks and their defaults. Called by download.ts, ai.ts and the
// command. Surprise: options without functions can cross into the thread that reads weights, which is the faster way.
import { badRequest } from '../errors.ts';
import type { CacheChoice } from './cache/choose.ts';
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
  credentials?: RequestCredentials;
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

/** The options with defaults; throws an OcelliError that names the first one out of range. */
export function readyOptions(options: DownloadOptions): ReadyOptions {
  const { parallel, requestsMax } = platformLimits();
  const ready: ReadyOptions = {
    mirrors: options.mirrors ?? [],
    manifestSha256: options.manifestSha256?.toLowerCase(),
    headers: options.headers ?? {},
    credentials: options.credentials,
    parallel: inRange('parallel', options.parallel ?? parallel, 1, 32),
    requestsMax: inRange('requestsMax', options.requestsMax ?? requestsMax, 1, Infinity),
    attempts: inRange('attempts', options.attempts ?? 6, 1, 100),
    stallMs: inRange('stallMs', options.stallMs ?? 30_000, 1, 3_600_000),
    retryMs: inRange('retryMs', options.retryMs ?? 500, 0, 60_000),
  };
  const { manifestSha256: pin } = ready;
  if (pin !== undefined && !/^[0-9a-f]{64}$/.test(pin))
    throw wrong('manifestSha256', options.manifestSha256, '64 hex digits');
  for (const mirror of ready.mirrors)
    if (!/^https?:\/\//i.test(String(mirror))) throw wrong('mirrors', mirror, 'http(s) URLs');
  return ready;
}

/** `value`, or a BadRequestError when it is no integer from `least` to `most`. */
export function inRange(name: string, value: number, least: number, most: number): number {
  const whole = Number.isInteger(value) || value === Infinity;
  if (whole && value >= least && value <= most) return value;
  throw wrong(name, value, `an integer from ${least} to ${most}`);
}

function wrong(name: string, value: unknown, must: string) {
  return badRequest('invalid_value', `${name} is ${String(value)}; it must be ${must}`, name);
}
