// Owns getting manifest.json: from the cache where a pin vouches for it, else from a server. Called by download.ts.
// Surprise: a cached one is checked against the server with one small request, and used all the same when no server
// answers: what has been loaded once runs without a network.
import { joined } from '../bytes.ts';
import { sha256Hex } from './hash.ts';
import type { ModelRecord } from './cache/library.ts';
import { ask, type Network, urlOf } from './download_request.ts';
import { Failure, Tries } from './download_retry.ts';
import { connectionLost, invalidManifest, manifestMismatch, shownUrl } from './failures.ts';
import { parseManifest } from './manifest.ts';

const file = 'manifest.json';
const manifestBytesMax = 64 << 20;
/** How long a server may take to say that the cached manifest is still right. */
const checkMs = 5000;

export interface FetchedManifest {
  bytes: Uint8Array;
  etag: string | null;
}

/** The manifest; `known`: the one in the cache. */
export async function fetchManifest(
  network: Network,
  known: ModelRecord | null,
  signal?: AbortSignal,
): Promise<FetchedManifest> {
  const pin = network.options.manifestSha256;
  const kept = known && {
    bytes: new TextEncoder().encode(known.manifest),
    etag: known.etag,
  };
  if (kept && pin !== undefined && (await sha256Hex(kept.bytes)) === pin) return kept;
  // With a pin, another one in the cache is of no use.
  const usable = pin === undefined ? kept : null;
  const attempts = usable ? 1 : network.options.attempts;
  const where = (mirror: number): string => shownUrl(urlOf(network, file, mirror));
  const { retryMs } = network.options;
  const tries = new Tries(file, network.mirrors.length, { attempts, retryMs }, where);
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
    return known;
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
  return { bytes, etag: mirror === 0 ? answer.etag : null };
}
