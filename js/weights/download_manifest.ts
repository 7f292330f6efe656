// Owns getting manifest.json: from the cache where a pin vouches for it, else from a server, and from another one when what
// it names cannot be had. Called by download.ts. Surprise: a cached one is checked against the server with one small request,
// and used all the same when no server answers: what has been loaded once runs without a network.
import { joined } from '../bytes.ts';
import { OcelliError } from '../errors.ts';
import { sha256Hex } from './hash.ts';
import type { ModelRecord } from './cache/library.ts';
import { ask, type Network, urlOf } from './download_request.ts';
import { Failure, mirrorsFrom, Tries, type TriesOptions } from './download_retry.ts';
import { connectionLost, invalidManifest, manifestMismatch, shownUrl } from './failures.ts';
import { parseManifest } from './manifest.ts';

const file = 'manifest.json';
const manifestBytesMax = 64 << 20;
/** How long a server may take to say that the cached manifest is still right. */
const checkMs = 5000;

/** How often a mirror is asked when another one's manifest is in doubt: an error waits to be told. */
const doubtAttempts = 2;

/** What servers say, or send, when a manifest is not the model's: its shards cannot be had. */
const doubtful: readonly string[] = [
  'access_denied',
  'download_failed',
  'download_stalled',
  'file_not_found',
  'invalid_manifest',
  'invalid_shard',
  'redirect_loop',
  'shard_hash_mismatch',
];

export interface FetchedManifest {
  bytes: Uint8Array;
  etag: string | null;
  /** The mirror that gave it; null: it is the cached one. */
  mirror: number | null;
  /** The server sent on elsewhere, as it may for each shard. */
  redirected: boolean;
}

/** The manifests of one model. */
export interface Manifests {
  /** The one to begin with; `known`: the one in the cache. */
  first(known: ModelRecord | null, signal?: AbortSignal): Promise<FetchedManifest>;
  /**
   * After `error`: one that no mirror has given before, each being asked once, the one that gave the last one at the end. Null
   * where there is none, or the error cannot be the manifest's.
   */
  other(error: unknown, signal?: AbortSignal): Promise<FetchedManifest | null>;
}

export function manifestsOf(network: Network): Manifests {
  const pinned = network.options.manifestSha256 !== undefined;
  const given = new Set<string>();
  /** Who is still to be asked for another one. */
  let left: readonly number[] = [];
  /** One that is not among `refused`. */
  const search = async (
    refused: ReadonlySet<string>,
    mirrors: readonly number[],
    signal?: AbortSignal,
  ): Promise<FetchedManifest | null> => {
    let remaining = mirrors;
    while (remaining.length > 0) {
      const how = { mirrors: remaining, attempts: doubtAttempts };
      const fetched = await fetchManifest(network, null, how, signal).catch(() => null);
      signal?.throwIfAborted();
      if (!fetched) break;
      const asked = fetched.mirror;
      left = left.filter((mirror) => mirror !== asked);
      remaining = remaining.filter((mirror) => mirror !== asked);
      const hash = await sha256Hex(fetched.bytes);
      const known = refused.has(hash);
      given.add(hash);
      if (!known) return fetched;
    }
    return null;
  };
  return {
    async first(known, signal) {
      const all = mirrorsFrom(network, 0);
      const fetched = await fetchManifest(network, known, { mirrors: all }, signal);
      const { mirror } = fetched;
      const hash = await sha256Hex(fetched.bytes);
      given.add(hash);
      left = mirrorsFrom(network, (mirror ?? -1) + 1);
      const doubted = new Set(known?.doubted);
      if (pinned || mirror === null || !doubted.has(hash)) return fetched;
      const others = left.filter((other) => other !== mirror);
      return (await search(doubted, others, signal)) ?? fetched;
    },
    async other(error, signal) {
      if (pinned || !(error instanceof OcelliError && doubtful.includes(error.code))) return null;
      return await search(given, left, signal);
    },
  };
}

/** The manifest, from the first of `mirrors` that gives one; `known`: the one in the cache. */
async function fetchManifest(
  network: Network,
  known: ModelRecord | null,
  { mirrors, attempts = network.options.attempts }: TriesOptions,
  signal?: AbortSignal,
): Promise<FetchedManifest> {
  const pin = network.options.manifestSha256;
  const kept = known && {
    bytes: new TextEncoder().encode(known.manifest),
    etag: known.etag,
    mirror: null,
    redirected: false,
  };
  if (kept && pin !== undefined && (await sha256Hex(kept.bytes)) === pin) return kept;
  // With a pin, another one in the cache is of no use.
  const usable = pin === undefined ? kept : null;
  const where = (mirror: number): string => shownUrl(urlOf(network, file, mirror));
  const tries = new Tries(network, file, where, { mirrors, attempts: usable ? 1 : attempts });
  for (;;) {
    try {
      const fetched = await fetchOnce(network, tries.mirror, usable, signal);
      const found = pin === undefined ? pin : await sha256Hex(fetched.bytes);
      if (found !== pin) {
        const error = manifestMismatch(where(tries.mirror), found ?? '', pin ?? '');
        throw new Failure(error, { permanent: true });
      }
      return fetched;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      try {
        await tries.failed(error, signal);
      } catch (last) {
        signal?.throwIfAborted();
        if (usable) return usable;
        throw last;
      }
    }
  }
}

async function fetchOnce(
  network: Network,
  mirror: number,
  known: FetchedManifest | null,
  signal?: AbortSignal,
): Promise<FetchedManifest> {
  const where = shownUrl(urlOf(network, file, mirror));
  const answer = await ask(
    network,
    {
      file,
      mirror,
      from: 0,
      bytes: null,
      origin: null,
      range: false,
      // Another mirror's etags are its own.
      unlessEtag: mirror === 0 ? (known?.etag ?? null) : null,
      ...(known && { stallMs: Math.min(checkMs, network.options.stallMs) }),
    },
    signal,
  );
  if (answer.unchanged && known) {
    answer.cancel();
    return { ...known, mirror, redirected: answer.redirected };
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (let piece = await answer.next(); piece; piece = await answer.next()) {
    pieces.push(piece);
    length += piece.length;
    if (length > manifestBytesMax) {
      answer.cancel();
      throw new Failure(
        invalidManifest(`${where} has more than ${manifestBytesMax} bytes, the limit`),
        { permanent: true },
      );
    }
  }
  const bytes = joined(pieces);
  if (length === 0)
    throw new Failure(connectionLost(file, where, new Error('the answer is empty')));
  try {
    parseManifest(bytes);
  } catch (error) {
    // What is no manifest is not worth a cached one either, nor another request here.
    throw new Failure(error as ReturnType<typeof invalidManifest>, { permanent: true });
  }
  const { etag, redirected } = answer;
  return { bytes, etag: mirror === 0 ? etag : null, mirror, redirected };
}
