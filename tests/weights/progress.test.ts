// What is told about loading, with a clock of our own. Surprise: what was damaged has come all the same, so the speed counts
// it, and how far the load is does not go back for it.
import { expect, it } from 'vitest';
import { type LoadProgress, Meter } from '../../js/weights/progress.ts';
import type { ShardInfo } from '../../js/weights/source.ts';

const shard = (n: number, holds: string[]): ShardInfo => ({
  sha256: String(n).repeat(64),
  bytes: 100,
  holds,
});
const three = new Map([
  [0, shard(0, ['tokenizer', 'embed'])],
  [1, shard(1, ['layer.0', 'layer.1'])],
  [2, shard(2, ['layer.1', 'vision'])],
]);

function metered(): { meter: Meter; told: { bytes: number; total: number; more: LoadProgress }[] } {
  const told: { bytes: number; total: number; more: LoadProgress }[] = [];
  const meter = new Meter(three, (bytes, total, more) => void told.push({ bytes, total, more }));
  return { meter, told };
}

it('never goes back, and ends with all', () => {
  const { meter, told } = metered();
  meter.placed(0); // it was in the cache
  meter.tell(0);
  meter.moved(1, 60, 60, 1000);
  meter.moved(1, 100, 100, 2000);
  meter.again(1); // damaged
  meter.moved(1, 50, 50, 3000);
  meter.moved(1, 100, 100, 4000);
  meter.placed(1);
  meter.moved(2, 100, 40, 5000); // the rest was there from before
  meter.placed(2);
  meter.tell(5000);
  expect(told.map(({ bytes }) => bytes)).toEqual([100, 160, 200, 200, 200, 300, 300]);
  expect(told.every(({ total }) => total === 300)).toBe(true);
  expect(told.map(({ more }) => more.fetched)).toEqual([0, 60, 100, 150, 200, 240, 240]);
  // It is 50 bytes behind what was shown, at 50 bytes a second.
  expect(told[3]?.more).toMatchObject({ bytesPerSecond: 50, secondsLeft: 3 });
  expect(told.at(-1)?.more).toEqual({
    fetched: 240,
    bytesPerSecond: 60,
    secondsLeft: 0,
    shards: 3,
    totalShards: 3,
    ready: { tokenizer: true, vision: true, embedding: true, layers: 2, totalLayers: 2 },
  });
});

it('names a layer only when all of it is there', () => {
  const { meter, told } = metered();
  for (const index of [0, 1, 2]) {
    meter.moved(index, 100, 100, 1000 * index);
    meter.placed(index);
    meter.tell(1000 * index);
  }
  const ready = told.filter((_, n) => n % 2 === 1).map(({ more }) => more.ready);
  expect(
    ready.map(({ tokenizer, embedding, layers, vision }) => [tokenizer, embedding, layers, vision]),
  ).toEqual([
    [true, true, 0, false],
    [true, true, 1, false],
    [true, true, 2, true],
  ]);
});

it('is done at once where all was there', () => {
  const { meter, told } = metered();
  for (const index of three.keys()) meter.placed(index);
  meter.tell(0);
  expect(told).toMatchObject([
    { bytes: 300, more: { fetched: 0, bytesPerSecond: 0, secondsLeft: 0 } },
  ]);
});
