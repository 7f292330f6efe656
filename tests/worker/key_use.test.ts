// What keys have used goes on through restarts, in a store that does: credits, and the requests of the last minute.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { sqliteStore } from '../../worker/adapters/node_store.ts';
import { sha256Hex } from '../../worker/keys.ts';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const folder = mkdtempSync(join(tmpdir(), 'ocelli-keys-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = join(folder, 'kept.sqlite');
const sha256 = await sha256Hex('sk-one');

/** The statuses of requests to a server of its own, which then ends. */
async function statuses(count: number, entry: object, now: number): Promise<number[]> {
  const store = await sqliteStore(file);
  const worker = fakeWorker({ store, keys: [{ name: 'one', sha256, ...entry }], clock: () => now });
  const all: number[] = [];
  for (let i = 0; i < count; i++) {
    const headers = { authorization: 'Bearer sk-one' };
    all.push((await worker.post(chat, hello, { headers })).status);
  }
  await worker.close();
  await store.close();
  return all;
}

it('a rate and credits are not new after a restart', async () => {
  const rate = { requestsPerMinute: 3 };
  expect(await statuses(2, rate, 1000)).toEqual([200, 200]);
  expect(await statuses(2, rate, 2000)).toEqual([200, 429]);
  expect(await statuses(1, rate, 61_500)).toEqual([200]);

  // A request is of 12 tokens.
  const credits = { credits: 20 };
  expect(await statuses(1, credits, 200_000)).toEqual([200]);
  expect(await statuses(2, credits, 200_000)).toEqual([200, 402]);
  // Who is given others in the configuration has those.
  expect(await statuses(1, { credits: 21 }, 200_000)).toEqual([200]);
});
