// Owns the words for what goes wrong between a server, a cache and a shard: one function a failure, each an OcelliError
// with a stable code that names the file, what was expected and what was found. Called by download*.ts, manifest.ts and
// cache/. Surprise: URLs are shown without user, password, query and fragment: those may be secrets.
import { OcelliError } from '../errors.ts';

/** A URL as it may be shown and logged. */
export function shownUrl(url: string | URL): string {
  const { origin, pathname } = new URL(url);
  return origin + pathname;
}

export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error && cause.message && !error.message.includes(cause.message)
    ? `${error.message}: ${cause.message}`
    : error.message;
}

/** 401 and 403: asking again changes nothing. */
export const accessDenied = (file: string, where: string, http: number): OcelliError =>
  new OcelliError(
    502,
    'access_denied',
    `${file}: ${where} refuses it with HTTP status ${http}; expected 200 or 206. Are its credentials right?`,
    file,
  );

/** 404 and 410. */
export const fileMissing = (file: string, where: string, http: number): OcelliError =>
  new OcelliError(
    502,
    'file_not_found',
    `${file}: ${where} does not have it, HTTP status ${http}; expected 200 or 206`,
    file,
  );

/** Any other status that is no success, once there is no point in asking again. */
export const badStatus = (file: string, where: string, http: number): OcelliError =>
  new OcelliError(
    502,
    'download_failed',
    `${file}: ${where} answers with HTTP status ${http}; expected 200 or 206`,
    file,
  );

export const redirectLoop = (file: string, where: string, cause: unknown): OcelliError =>
  new OcelliError(
    502,
    'redirect_loop',
    `${file}: ${where} redirects without end; expected the file`,
    file,
    cause,
  );

export const connectionLost = (file: string, where: string, cause: unknown): OcelliError =>
  new OcelliError(
    502,
    'download_failed',
    `${file} cannot be fetched from ${where}: ${reasonOf(cause)}`,
    file,
    cause,
  );

export const cutOff = (file: string, where: string, have: number, want: number): OcelliError =>
  new OcelliError(
    502,
    'download_failed',
    `${file}: ${where} ended after byte ${have} of ${want}`,
    file,
  );

export const stalled = (file: string, where: string, ms: number): OcelliError =>
  new OcelliError(
    504,
    'download_stalled',
    `${file}: nothing came from ${where} for ${ms / 1000} s`,
    file,
  );

const webPageCodes: Record<string, string> = {
  'manifest.json': 'invalid_manifest',
  'adapter_config.json': 'invalid_adapter',
  'adapter_model.safetensors': 'invalid_adapter',
};

export const webPage = (file: string, where: string, type: string): OcelliError =>
  new OcelliError(
    502,
    webPageCodes[file] ?? 'invalid_shard',
    `${file}: ${where} sent a web page (${type}); expected the file. Is this the right folder, or a log-in page?`,
    file,
  );

export const wrongLength = (
  file: string,
  where: string,
  found: number,
  expected: number,
): OcelliError =>
  new OcelliError(
    502,
    'invalid_shard',
    `${file} has ${found} bytes at ${where}, the manifest says ${expected}`,
    file,
  );

/** More than any such file has. */
export const tooLarge = (file: string, where: string, bytesMax: number): OcelliError =>
  new OcelliError(
    502,
    'download_failed',
    `${file}: ${where} sends more than ${bytesMax} bytes, the limit`,
    file,
  );

/** A server that asks for more patience than we have. */
export const askedToWait = (file: string, where: string, seconds: number): OcelliError =>
  new OcelliError(
    503,
    'download_failed',
    `${file}: ${where} asks to wait ${Math.ceil(seconds)} s (Retry-After), longer than the limit`,
    file,
  );

export const gaveUp = (file: string, attempts: number, last: OcelliError): OcelliError =>
  new OcelliError(
    last.status,
    last.code,
    `${last.message} (given up after ${attempts} attempts without a new byte)`,
    file,
    last,
  );

export const budgetSpent = (file: string, budget: number): OcelliError =>
  new OcelliError(
    507,
    'request_budget_exceeded',
    `${file}: the budget of ${budget} requests is spent; what has come stays in the cache`,
    file,
  );

export const budgetTooSmall = (
  needed: number,
  budget: number,
  shards: number,
  shardMib: number,
): OcelliError =>
  new OcelliError(
    507,
    'request_budget_exceeded',
    `${shards} shards are to be fetched, which takes ${needed} requests, but the budget is ${budget}; ` +
      `convert the model with --shard-mib ${shardMib} or more, or raise requestsMax`,
    'requestsMax',
  );

export const invalidManifest = (message: string, cause?: unknown): OcelliError =>
  new OcelliError(500, 'invalid_manifest', message, 'manifest.json', cause);

export const manifestMismatch = (where: string, found: string, expected: string): OcelliError =>
  new OcelliError(
    500,
    'manifest_hash_mismatch',
    `manifest.json from ${where} has the sha256 ${found}, the pinned one is ${expected}`,
    'manifest.json',
  );

/** Disk full, quota exceeded, or a memory cache at its limit. */
export const cacheFull = (where: string, what: string, cause?: unknown): OcelliError =>
  new OcelliError(
    507,
    'cache_full',
    `the cache ${where} has no room for ${what}${cause === undefined ? '' : `: ${reasonOf(cause)}`}`,
    null,
    cause,
  );

export const cacheUnusable = (where: string, doing: string, cause: unknown): OcelliError =>
  new OcelliError(
    500,
    'cache_unusable',
    `the cache ${where} cannot be used (${doing}): ${reasonOf(cause)}`,
    null,
    cause,
  );
