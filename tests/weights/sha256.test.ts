// The sha256 of hosts without one, against Node's.
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { Sha256 } from '../../js/weights/sha256.ts';
import { sha256 } from './faulty_server.ts';

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
