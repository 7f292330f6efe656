// Owns fetching one file that no manifest vouches for, whole and into memory: an adapter's. Called by adapter_files.ts.
// Surprise: its length is not known before, so what a broken transfer brought is gone on with, by a range, and only the
// server's word (or a pin of the caller's) says that it is whole.
import { joined } from '../bytes.ts';
import { ask, FileChanged, type Network, RangeRefused, urlOf } from './download_request.ts';
import { Failure, Tries } from './download_retry.ts';
import { connectionLost, shownUrl, tooLarge } from './failures.ts';
import type { Origin } from './cache/partial.ts';

/** All bytes of `file` in the network's folder, at most `bytesMax`; rejects with an OcelliError, or the signal's reason. */
export async function fetchFile(
  network: Network,
  file: string,
  bytesMax: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { attempts, retryMs } = network.options;
  const where = (mirror: number): string => shownUrl(urlOf(network, file, mirror));
  const tries = new Tries(file, network.mirrors.length, { attempts, retryMs }, where);
  let pieces: Uint8Array[] = [];
  let from = 0;
  let origin: Origin | null = null;
  const startAnew = (): void => {
    pieces = [];
    from = 0;
    origin = null;
  };
  for (;;) {
    try {
      const { mirror } = tries;
      // Without an etag of this very server nobody knows whether the rest belongs to what has come.
      if (origin?.url !== where(mirror)) startAnew();
      const wanted = { file, mirror, from, bytes: null, origin, range: from > 0 };
      const answer = await ask(network, wanted, signal);
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
        tries.progressed();
      }
      if (from === 0)
        throw new Failure(connectionLost(file, where(mirror), new Error('the answer is empty')));
      return joined(pieces);
    } catch (error) {
      if (error instanceof FileChanged) startAnew();
      else if (!(error instanceof Failure)) throw error;
      else {
        if (error instanceof RangeRefused) startAnew();
        await tries.failed(error, signal);
      }
    }
  }
}
