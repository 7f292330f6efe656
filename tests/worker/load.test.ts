// Some seconds of the load that `node tests/load/load.mjs` makes for minutes: a real server, clients of every dialect who leave,
// lie and flood, a SIGKILL in the middle. Nothing here depends on how much of it a machine gets done.
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { root } from '../js/real_model.ts';

type Counts = Record<string, number>;
interface Loading {
  load(options: { seconds: number; clients: number; seed: number; rests: number }): Promise<{
    faults: string[];
    samples: Counts[];
    tasks: number;
    interrupted: number;
  }>;
  growth(samples: readonly Counts[]): Counts;
}
const { load, growth } = (await import(join(root, 'tests/load/load.mjs') as string)) as Loading;

it('serves, refuses and forgets as it should, and finishes after a SIGKILL what it had accepted', async () => {
  const { faults, samples, tasks, interrupted } = await load({
    ...{ seconds: 16, clients: 16, seed: 7, rests: 4 },
  });
  expect(faults).toEqual([]);
  expect(interrupted).toBeGreaterThan(0);
  expect(tasks).toBeGreaterThanOrEqual(interrupted);
  const grown = growth(samples);
  expect(grown['files']).toBeLessThanOrEqual(2);
  expect(grown['threads']).toBeLessThanOrEqual(4);
  // What a run keeps by design (sessions, counts, compiled code) is far less; a leaked request or body is more.
  expect(grown['heap_mib']).toBeLessThan(24);
  expect(grown['buffers_mib']).toBeLessThan(8);
}, 900_000);
