// The sha256 of hosts without one, and a browser's, against Node's.
import { randomBytes } from 'node:crypto';
import { afterEach, expect, it, vi } from 'vitest';
import { Sha256 } from '../../js/weights/sha256.ts';
import { sha256 } from './faulty_server.ts';

/** js/weights/hash.ts as it is on another host than Node, with these globals. */
async function elsewhere(globals: Record<string, unknown>) {
  vi.resetModules();
  vi.doMock('../../js/host.ts', async (host) => ({ ...(await host<object>()), isNode: false }));
  for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
  return await import('../../js/weights/hash.ts');
}

afterEach(() => {
  vi.doUnmock('../../js/host.ts');
  vi.unstubAllGlobals();
});

it('equals the platform, whatever the lengths and the pieces', () => {
  for (let length = 0; length < 300; length++) {
    const bytes = new Uint8Array(randomBytes(length));
    const hash = new Sha256();
    const cut = (length * 7) % (length + 1);
    hash.update(bytes.subarray(0, cut));
    hash.update(bytes.subarray(cut));
    expect(hash.hex()).toBe(sha256(bytes));
  }
  const many = new Uint8Array(randomBytes(1_000_003));
  const hash = new Sha256();
  for (let at = 0; at < many.length; at += 65_537) hash.update(many.subarray(at, at + 65_537));
  expect(hash.hex()).toBe(sha256(many));
});

it("is the browser's own where there is one, for a shard that fits into memory twice", async () => {
  const { anyHash, platformHash } = await elsewhere({ document: {} });
  const make = await platformHash();
  const bytes = new Uint8Array(randomBytes(100_003));
  const hash = make?.(bytes.length);
  for (let at = 0; at < bytes.length; at += 4096) hash?.update(bytes.subarray(at, at + 4096));
  expect(await hash?.hex()).toBe(sha256(bytes));
  expect(make?.(2 ** 28)).toBeNull();
  expect(await (await anyHash())(2 ** 28).hex()).toBe(sha256(new Uint8Array(0)));
});

it.each([
  ['at the edge', {}],
  ['in a page of plain http', { document: {}, crypto: {} }],
])("is the core's work %s", async (_, globals) => {
  const { platformHash } = await elsewhere({ Worker: undefined, ...globals });
  expect(await platformHash()).toBeNull();
});
