// Every store: what is kept, what expires, what gives way, what is refused; and the SQLite file across processes.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { sqliteStore } from '../../worker/adapters/node_store.ts';
import { memoryStore } from '../../worker/store/memory.ts';
import type { Kept, Store, StoreLimits } from '../../worker/store/store.ts';
import { rejection } from '../js/fake_ai.ts';

const folder = mkdtempSync(join(tmpdir(), 'ocelli-store-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let files = 0;
const newFile = (): string => join(folder, `${files++}.sqlite`);

const entry = (id: string, more: Partial<Kept> = {}): Kept => ({
  ...{ kind: 'task', owner: 'me', id, open: false, expires: 1000, bytes: new Uint8Array([1, 2]) },
  ...more,
});

const kinds: [string, (options?: Partial<StoreLimits>) => Promise<Store>][] = [
  ['memory', async (options) => memoryStore(options)],
  ['SQLite', async (options) => sqliteStore(newFile(), options)],
];

describe.each(kinds)('the store in %s', (_, make) => {
  it('keeps by kind, owner and id, and replaces', async () => {
    const store = await make({ clock: () => 0 });
    await store.put(entry('a'));
    await store.put(entry('a', { owner: 'you', bytes: new Uint8Array([3]) }));
    await store.put(entry('a', { bytes: new Uint8Array([4, 5, 6]) }));
    expect(await store.get('task', 'me', 'a')).toEqual(
      entry('a', { bytes: new Uint8Array([4, 5, 6]) }),
    );
    expect((await store.get('task', 'you', 'a'))?.bytes).toEqual(new Uint8Array([3]));
    expect(await store.get('image', 'me', 'a')).toBeUndefined();
    await store.close();
  });

  it('forgets what has expired, but nothing that is open', async () => {
    let now = 0;
    const store = await make({ clock: () => now });
    await store.put(entry('finished'));
    await store.put(entry('open', { open: true }));
    now = 1000;
    expect(await store.get('task', 'me', 'finished')).toBeUndefined();
    expect(await store.get('task', 'me', 'open')).toBeDefined();
    await store.close();
  });

  it('lists the open ones in the order they came', async () => {
    const store = await make({ clock: () => 0 });
    for (const id of ['c', 'a', 'b']) await store.put(entry(id, { open: true }));
    await store.put(entry('c', { open: true, bytes: new Uint8Array(9) }));
    await store.put(entry('a'));
    expect((await store.open('task')).map(({ id }) => id)).toEqual(['c', 'b']);
    expect(await store.open('image')).toEqual([]);
    await store.close();
  });

  it('lets the oldest finished ones go for room, and refuses when only open ones are left', async () => {
    const store = await make({ clock: () => 0, bytesMax: 10_000 });
    const bytes = new Uint8Array(2500);
    await store.put(entry('open', { open: true, bytes }));
    for (const id of ['1', '2', '3']) await store.put(entry(id, { bytes }));
    expect(await store.get('task', 'me', '1')).toBeUndefined();
    expect(await store.get('task', 'me', '2')).toBeDefined();
    for (const id of ['4', '5']) await store.put(entry(id, { open: true, bytes }));
    const error = await rejection(store.put(entry('6', { open: true, bytes })));
    expect([error.status, error.code]).toEqual([503, 'store_full']);
    expect((await store.open('task')).map(({ id }) => id)).toEqual(['open', '4', '5']);
    await store.close();
  });
});

describe('the SQLite file', () => {
  it('is there after a restart, and belongs to one at a time', async () => {
    const file = newFile();
    const first = await sqliteStore(file, { clock: () => 0 });
    await first.put(entry('a', { open: true }));
    expect(first.lasting).toBe(true);
    expect((await rejection(sqliteStore(file))).message).toMatch(/cannot be used: .*locked/);
    await first.close();
    const second = await sqliteStore(file, { clock: () => 0 });
    expect(await second.open('task')).toEqual([entry('a', { open: true })]);
    await second.close();
  });

  it('stays within its bound', async () => {
    const file = newFile();
    const bytesMax = 400_000;
    const store = await sqliteStore(file, { clock: () => 0, bytesMax });
    const bytes = new Uint8Array(50_000);
    for (let i = 0; i < 24; i++) await store.put(entry(String(i), { bytes }));
    await store.close();
    expect(statSync(file).size).toBeLessThan(1.5 * bytesMax);
  });

  it('that is none is refused by name', async () => {
    const file = newFile();
    writeFileSync(file, 'something else entirely, and long enough to have a header '.repeat(20));
    const error = await rejection(sqliteStore(file));
    expect([error.code, error.message]).toEqual([
      'store_unusable',
      expect.stringContaining(`${file} cannot be used`) as string,
    ]);
  });
});
