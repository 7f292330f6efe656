// Owns what is told about loading: bytes, rate, time left, and what can be computed already. Called by place.ts and pull.ts.
// Surprise: the rate is that of the last seconds, and what comes out of a cache counts like the rest; a damaged shard that
// comes again takes back nothing that was told, the bytes stand still until it is as far again.
import { clockMs } from '../host.ts';
import type { ShardInfo } from './source.ts';

export interface LoadProgress {
  /** Of `bytes`, how many came over the network in this run. */
  fetched: number;
  /** Over the last seconds. */
  bytesPerSecond: number;
  /** At this rate; null until there is one, 0 at the end. */
  secondsLeft: number | null;
  /** Shards that are there and verified, of all. */
  shards: number;
  totalShards: number;
  ready: {
    tokenizer: boolean;
    vision: boolean;
    embedding: boolean;
    /** Decoder layers from the first on that can compute. */
    layers: number;
    totalLayers: number;
  };
}

/** Bytes so far, which never become fewer unless another manifest is taken (source.ts), of all that are wanted, and more about it. */
export type ProgressCallback = (bytes: number, total: number, progress: LoadProgress) => void;

const windowMs = 5000;

/** Counts one load of `wanted` shards, and tells `callback`. */
export class Meter {
  readonly #wanted: ReadonlyMap<number, ShardInfo>;
  readonly #callback: ProgressCallback | undefined;
  readonly #total: number;
  /** Shards that are not verified yet. */
  readonly #left: Map<number, ShardInfo>;
  readonly #layers: number;
  /** By shard: how many of its bytes are there, and how many of those came over a network. */
  readonly #there = new Map<number, { bytes: number; fetched: number }>();
  readonly #samples: { at: number; moved: number }[] = [];
  #bytes = 0;
  #shown = 0;
  #fetched = 0;
  /** All bytes that were brought, damaged ones too. */
  #moved = 0;

  constructor(wanted: ReadonlyMap<number, ShardInfo>, callback?: ProgressCallback) {
    this.#wanted = wanted;
    this.#callback = callback;
    this.#left = new Map(wanted);
    this.#total = [...wanted.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    this.#layers = 1 + Math.max(-1, ...[...wanted.values()].flatMap(layersOf));
  }

  /** Bytes that came over a network. */
  get fetched(): number {
    return this.#fetched;
  }

  /** Of shard `index` so many bytes are there now, so many of them over a network. */
  moved(index: number, bytes: number, fetched: number, at?: number): void {
    const before = this.#there.get(index) ?? { bytes: 0, fetched: 0 };
    this.#bytes += bytes - before.bytes;
    this.#moved += bytes - before.bytes;
    this.#fetched += Math.max(0, fetched - before.fetched);
    this.#there.set(index, { bytes, fetched });
    this.tell(at);
  }

  /** Shard `index` is brought anew: what has come of it counts for nothing. */
  again(index: number): void {
    this.#bytes -= this.#there.get(index)?.bytes ?? 0;
    this.#there.delete(index);
  }

  /** Shard `index` is verified. */
  placed(index: number): void {
    this.#bytes += (this.#wanted.get(index)?.bytes ?? 0) - (this.#there.get(index)?.bytes ?? 0);
    this.#there.delete(index);
    this.#left.delete(index);
  }

  tell(at: number = clockMs()): void {
    const samples = this.#samples;
    const last = samples.at(-1);
    if (!last || at - last.at >= 100) samples.push({ at, moved: this.#moved });
    while (samples.length > 2 && at - (samples[1]?.at ?? at) > windowMs) samples.shift();
    const first = samples[0] ?? { at, moved: this.#moved };
    const seconds = (at - first.at) / 1000;
    const rate = seconds > 0 ? (this.#moved - first.moved) / seconds : 0;
    const missing = this.#total - this.#bytes;
    const left = [...this.#left.values()];
    const has = (name: string): boolean => !left.some(({ holds }) => holds.includes(name));
    this.#shown = Math.max(this.#shown, this.#bytes);
    this.#callback?.(this.#shown, this.#total, {
      fetched: this.#fetched,
      bytesPerSecond: rate,
      secondsLeft: missing === 0 ? 0 : rate > 0 ? missing / rate : null,
      shards: this.#wanted.size - left.length,
      totalShards: this.#wanted.size,
      ready: {
        tokenizer: has('tokenizer'),
        vision: has('vision'),
        embedding: has('embed'),
        layers: Math.min(this.#layers, ...left.flatMap(layersOf)),
        totalLayers: this.#layers,
      },
    });
  }
}

function layersOf({ holds }: ShardInfo): number[] {
  return holds.flatMap((name) => {
    const layer = /^layer\.(\d+)$/.exec(name)?.[1];
    return layer === undefined ? [] : [Number(layer)];
  });
}
