// Owns a shard's bytes on their way from a server, or from what an earlier run has left, to whoever reads them; each new
// byte goes to the cache in passing. Made by download.ts. Surprise: a broken connection is not seen from outside: the
// reader goes on where it broke, elsewhere if need be, and rejects only when there is no hope left.
import type { OcelliError } from '../errors.ts';
import { keepOn, type PartialShard } from './cache/partial.ts';
import {
  type Answer,
  ask,
  FileChanged,
  type Network,
  RangeRefused,
  urlOf,
} from './download_request.ts';
import { Failure, Tries } from './download_retry.ts';
import * as failures from './failures.ts';
import { DamagedShard } from './settle.ts';
import { type ShardInfo, type ShardReader, shardFile } from './source.ts';

export interface ReaderOptions {
  network: Network;
  info: ShardInfo;
  /** What is in the cache so far and takes the rest; null when nothing is kept. */
  partial: PartialShard | null;
  /** The mirrors in the order in which they are asked; the network's by default. */
  mirrors?: readonly number[] | undefined;
  /** When the cache has no room: resolves to whether some has been made. */
  makeRoom(): Promise<boolean>;
  /** The cache cannot be used any more; the reader goes on without. */
  cacheLost(error: OcelliError): void;
}

export class DownloadReader implements ShardReader {
  readonly #options: ReaderOptions;
  readonly #file: string;
  readonly #bytes: number;
  readonly #tries: Tries;
  readonly #stop = new AbortController();
  /** Mirrors that are asked for the whole file, since they refuse to send the rest. */
  readonly #whole = new Set<number>();
  #at = 0;
  #answer: Answer | null = null;
  #origin: Answer['origin'] = null;
  #skip = 0;
  /** Listens to the caller's signal no more. */
  readonly #forget: () => void;
  #piece: Uint8Array | null = null;
  /** How far the network has been read: #at, or the end of #piece. */
  #come: number;
  #fetched = 0;
  #began: number | undefined;
  partial: PartialShard | null;

  constructor(options: ReaderOptions, signal?: AbortSignal) {
    const { network, info, partial, mirrors } = options;
    this.#options = options;
    this.#file = shardFile(info);
    this.#bytes = info.bytes;
    this.partial = partial;
    this.#come = partial?.before ?? 0;
    const where = (mirror: number): string => failures.shownUrl(urlOf(network, this.#file, mirror));
    this.#tries = new Tries(network, this.#file, where, { mirrors });
    const abort = (): void => this.#stop.abort(signal?.reason);
    signal?.addEventListener('abort', abort);
    this.#forget = () => signal?.removeEventListener('abort', abort);
    if (signal?.aborted) abort();
  }

  /** Where the first bytes came from: others may have gone on, so that one of them has its turn next, whoever was wrong. */
  get mirror(): number {
    return this.#began ?? this.#tries.mirror;
  }

  /** Bytes that came over the network. */
  get fetched(): number {
    return this.#fetched;
  }

  async read(into: Uint8Array): Promise<number> {
    for (;;) {
      this.#stop.signal.throwIfAborted();
      if (this.#at === this.#bytes || into.length === 0) return 0;
      let count = 0;
      if (this.#piece) count = this.#fromPiece(this.#piece, into);
      else if (this.#at < (this.partial?.before ?? 0)) count = await this.#fromCache(into);
      else count = await this.#receive(into);
      this.#at += count;
      if (count > 0) return count;
    }
  }

  /** Ends what is under way; what has come stays with `partial`. */
  async close(): Promise<void> {
    this.#forget();
    this.#stop.abort(new Error('the shard is not wanted any more'));
    this.#answer?.cancel();
    this.#answer = null;
  }

  #fromPiece(piece: Uint8Array, into: Uint8Array): number {
    const part = piece.subarray(0, into.length);
    into.set(part);
    this.#piece = part.length < piece.length ? piece.subarray(part.length) : null;
    return part.length;
  }

  async #fromCache(into: Uint8Array): Promise<number> {
    const { partial } = this;
    const count = (await partial?.read(this.#at, into).catch(() => 0)) ?? 0;
    // It cannot be read on: from here everything is fetched again.
    if (count === 0) {
      partial?.cut(this.#at);
      this.#come = this.#at;
    }
    return count;
  }

  /**
   * What comes next over the network, kept in the cache already: straight in `into`, or else, with 0, as #piece, or not at
   * all when another attempt is due.
   */
  async #receive(into: Uint8Array): Promise<number> {
    const { signal } = this.#stop;
    try {
      const answer = (this.#answer ??= await this.#ask());
      const straight = this.#skip === 0 ? answer.read : null;
      const place = into.subarray(0, this.#bytes - this.#come);
      let piece = straight ? place.subarray(0, await straight(place)) : await answer.next();
      signal.throwIfAborted();
      if (!piece?.length) throw new Failure(this.#cutOff());
      this.#began ??= this.#tries.mirror;
      this.#fetched += piece.length;
      const skipped = Math.min(this.#skip, piece.length);
      this.#skip -= skipped;
      // More than the manifest says is not looked at.
      piece = piece.subarray(skipped, skipped + this.#bytes - this.#come);
      if (piece.length === 0) return 0;
      this.#come += piece.length;
      await this.#keep(piece, answer);
      this.#tries.progressed();
      if (this.#come === this.#bytes) this.#drop();
      if (straight) return piece.length;
      this.#piece = piece;
      return 0;
    } catch (error) {
      this.#drop();
      signal.throwIfAborted();
      if (error instanceof FileChanged) throw new DamagedShard(this.#file, error.message);
      if (!(error instanceof Failure)) throw error;
      if (error instanceof RangeRefused && !error.permanent) this.#whole.add(this.#tries.mirror);
      await this.#tries.failed(error, signal);
      return 0;
    }
  }

  async #ask(): Promise<Answer> {
    const { mirror } = this.#tries;
    const wanted = {
      file: this.#file,
      mirror,
      from: this.#come,
      bytes: this.#bytes,
      origin: this.partial?.origin ?? this.#origin,
      range: !this.#whole.has(mirror),
    };
    const answer = await ask(this.#options.network, wanted, this.#stop.signal);
    this.#skip = answer.skip;
    this.#origin = answer.origin;
    return answer;
  }

  #cutOff(): OcelliError {
    const { network } = this.#options;
    const where = failures.shownUrl(urlOf(network, this.#file, this.#tries.mirror));
    return failures.cutOff(this.#file, where, this.#come, this.#bytes);
  }

  #drop(): void {
    this.#answer?.cancel();
    this.#answer = null;
  }

  async #keep(piece: Uint8Array, { origin }: Answer): Promise<void> {
    const { makeRoom, cacheLost } = this.#options;
    if (!this.partial) return;
    await keepOn(this.partial, piece, origin, makeRoom, (error) => {
      this.partial = null;
      cacheLost(error);
    });
  }
}
