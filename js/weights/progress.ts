// Owns what is told about loading beside the bytes: rate, time left, and what can be computed already. Called by place.ts
// and pull.ts. Surprise: the rate is that of the last seconds, and what comes out of a cache counts like the rest.
import { clockMs } from '../host.ts';
import type { ShardInfo } from './source.ts';

export interface LoadProgress {
  /** Of `bytes`, how many came over the network in this run. */
  fetched: number;
  /** Over the last seconds. */
  bytesPerSecond: number;
  /** At this rate; null until there is one. */
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

/** Bytes so far, of all that are wanted, and more about it. */
export type ProgressCallback = (bytes: number, total: number, progress: LoadProgress) => void;

const windowMs = 5000;

/** Counts one load of `wanted` shards. */
export class Meter {
  readonly #total: number;
  readonly #left: Map<number, ShardInfo>;
  readonly #shards: number;
  readonly #layers: number;
  readonly #samples: { at: number; bytes: number }[] = [];

  constructor(wanted: ReadonlyMap<number, ShardInfo>) {
    this.#left = new Map(wanted);
    this.#shards = wanted.size;
    this.#total = [...wanted.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    this.#layers = 1 + Math.max(-1, ...[...wanted.values()].flatMap(layersOf));
  }

  /** Shard `index` is verified. */
  placed(index: number): void {
    this.#left.delete(index);
  }

  now(bytes: number, fetched: number, at: number = clockMs()): LoadProgress {
    const samples = this.#samples;
    const last = samples.at(-1);
    if (!last || at - last.at >= 100) samples.push({ at, bytes });
    while (samples.length > 2 && at - (samples[1]?.at ?? at) > windowMs) samples.shift();
    const first = samples[0] ?? { at, bytes };
    const seconds = (at - first.at) / 1000;
    const rate = seconds > 0 ? Math.max(0, bytes - first.bytes) / seconds : 0;
    const left = [...this.#left.values()];
    const has = (name: string): boolean => !left.some(({ holds }) => holds.includes(name));
    return {
      fetched,
      bytesPerSecond: rate,
      secondsLeft: rate > 0 ? (this.#total - bytes) / rate : null,
      shards: this.#shards - left.length,
      totalShards: this.#shards,
      ready: {
        tokenizer: has('tokenizer'),
        vision: has('vision'),
        embedding: has('embed'),
        layers: Math.min(this.#layers, ...left.flatMap(layersOf)),
        totalLayers: this.#layers,
      },
    };
  }
}

function layersOf({ holds }: ShardInfo): number[] {
  return holds.flatMap((name) => {
    const layer = /^layer\.(\d+)$/.exec(name)?.[1];
    return layer === undefined ? [] : [Number(layer)];
  });
}
