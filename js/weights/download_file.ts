// Owns fetching one file that no manifest vouches for, whole and into memory: an adapter's. Called by adapter_files.ts.
// Surprise: its length is not known before, so what a broken transfer brought is gone on with, by a range, and only the
// server's word (or a pin of the caller's) says that it is whole. What an earlier run left is used only with the etag that it
// came with.
import { joined } from '../bytes.ts';
import type { OcelliError } from '../errors.ts';
import { keepOn, type Origin, type PartialShard } from './cache/partial.ts';
import {
  type Answer,
  ask,
  FileChanged,
  type Network,
  RangeRefused,
  urlOf,
} from './download_request.ts';
import { Failure, Tries } from './download_retry.ts';
import { connectionLost, shownUrl, tooLarge } from './failures.ts';

/** By what a server tells one version of a file from another. */
export interface Validators {
  etag: string | null;
  /** Last-Modified. */
  modified: string | null;
  bytes: number;
}

/** Where the bytes are kept as they come. */
export interface Keeping {
  partial: PartialShard;
  /** Resolves to whether there is room for a file of so many bytes. */
  makeRoom(bytes: number): Promise<boolean>;
  /** The cache cannot take them; what it had is gone. */
  lost(error: OcelliError): void;
}

export interface FetchOptions {
  bytesMax: number;
  /** What is there from an earlier time: a server may say that it is still right, and has little time to say it. */
  known?: Validators | null;
  keeping?: Keeping | null;
}

export interface FetchedFile extends Validators {
  /** Null: what is known is still right. */
  content: Uint8Array | null;
}

/** How long a server may take to say that what is known is still right. */
const checkMs = 5000;

/** `file` in the network's folder; rejects with an OcelliError, or the signal's reason. */
export async function fetchFile(
  network: Network,
  file: string,
  { bytesMax, known: kept = null, keeping = null }: FetchOptions,
  signal?: AbortSignal,
): Promise<FetchedFile> {
  const { attempts, stallMs } = network.options;
  const where = (mirror: number): string => shownUrl(urlOf(network, file, mirror));
  const triesOf = (often: number): Tries => new Tries(network, file, where, { attempts: often });
  let known = kept;
  let tries = triesOf(known ? 1 : attempts);
  let partial = keeping?.partial ?? null;
  let pieces = partial ? await leftBehind(partial) : [];
  let from = pieces.reduce((sum, { length }) => sum + length, 0);
  let origin: Origin | null = from > 0 && partial ? partial.origin : null;
  const startAnew = async (): Promise<void> => {
    pieces = [];
    from = 0;
    origin = null;
    await partial?.restart();
  };
  const keep = async (piece: Uint8Array, { origin: of, length, skip }: Answer): Promise<void> => {
    if (!keeping || !partial) return;
    const all = length === null ? from : Math.max(from, wantedFrom - skip + length);
    await keepOn(
      partial,
      piece,
      of,
      () => keeping.makeRoom(all),
      (error) => {
        partial = null;
        keeping.lost(error);
      },
    );
  };
  let wantedFrom = 0;
  for (;;) {
    try {
      const { mirror } = tries;
      // Without an etag of this very server nobody knows whether the rest belongs to what has come.
      if (origin?.url !== where(mirror)) await startAnew();
      wantedFrom = from;
      const conditions = known && {
        unlessEtag: known.etag,
        unlessModified: known.etag === null ? known.modified : null,
        stallMs: Math.min(checkMs, stallMs),
      };
      const wanted = { file, mirror, from, bytes: null, origin, range: from > 0, ...conditions };
      const answer = await ask(network, wanted, signal);
      if (known && isSame(known, answer)) {
        answer.cancel();
        return { ...known, content: null };
      }
      if (known) tries = triesOf(attempts);
      known = null;
      if (from > 0 && answer.origin?.etag !== origin?.etag) {
        answer.cancel();
        throw new FileChanged(`${file} has changed at ${where(mirror)}`);
      }
      let { skip } = answer;
      origin = answer.origin;
      for (let piece = await answer.next(); piece; piece = await answer.next()) {
        const fresh = piece.subarray(Math.min(skip, piece.length));
        skip -= piece.length - fresh.length;
        if (fresh.length === 0) continue;
        from += fresh.length;
        if (from > bytesMax) {
          answer.cancel();
          throw new Failure(tooLarge(file, where(mirror), bytesMax), { permanent: true });
        }
        pieces.push(fresh);
        await keep(fresh, answer);
        tries.progressed();
      }
      if (from === 0)
        throw new Failure(connectionLost(file, where(mirror), new Error('the answer is empty')));
      const { etag, modified } = answer;
      return { content: joined(pieces), etag, modified, bytes: from };
    } catch (error) {
      if (error instanceof FileChanged) await startAnew();
      else if (!(error instanceof Failure)) throw error;
      else {
        if (error instanceof RangeRefused) await startAnew();
        await tries.failed(error, signal);
      }
    }
  }
}

/** Whether an answer is about the version that is known. A date alone says little: the length must be the same, too. */
function isSame(known: Validators, { unchanged, etag, modified, length }: Answer): boolean {
  if (unchanged) return true;
  if (known.etag !== null && etag !== null) return etag === known.etag;
  return known.modified !== null && modified === known.modified && length === known.bytes;
}

/** What an earlier run left, but for its last byte: all of it may be there, and a server refuses to send nothing. */
async function leftBehind(partial: PartialShard): Promise<Uint8Array[]> {
  if (!partial.origin || partial.before < 2) return [];
  const bytes = new Uint8Array(partial.before - 1);
  for (let at = 0; at < bytes.length; ) {
    const count = await partial.read(at, bytes.subarray(at)).catch(() => 0);
    if (count === 0) return [];
    at += count;
  }
  partial.cut(bytes.length);
  return [bytes];
}
