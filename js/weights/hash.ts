// Owns the choice of who computes a sha256: node:crypto where there is one, a browser's crypto.subtle, else the core, or
// sha256.ts for what does not go into the core. Called by place.ts, manifest.ts and cache/.
// Surprise: crypto.subtle takes only whole buffers, and none of shared memory, so it costs a copy of each shard on its way;
// it is several times as fast as the core all the same. Edge isolates, where memory is what is short, do without.
import { isNode, nodeModule } from '../host.ts';
import { isEdge } from './platform.ts';
import { Sha256 } from './sha256.ts';

export interface ShardHash {
  update(bytes: Uint8Array): void;
  /** 64 lower-case hex digits; the object is spent afterwards. */
  hex(): string | Promise<string>;
}

/** Makes a hash of so many bytes; null: too many. */
type HashMaker = (bytes: number) => ShardHash | null;

/** More than any converter's default, and no more than a browser's tab has to spare. */
const wholeBytesMax = 128 << 20;
const spareMax = 4;

/** Makes hashes, or null where the core is the one to hash. */
export async function platformHash(): Promise<HashMaker | null> {
  const { crypto: web } = globalThis as { crypto?: Crypto };
  // In pages of plain http there is no subtle.
  if (!isNode) return web?.subtle && !isEdge() ? wholeHashes(web.subtle) : null;
  const crypto = await nodeModule('node:crypto').catch(() => null);
  if (!crypto) return null;
  return () => {
    const hash = crypto.createHash('sha256');
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  };
}

/** Buffers are used again: a browser takes longer to find memory for a shard than to hash it. */
function wholeHashes(subtle: SubtleCrypto): HashMaker {
  const spare: Uint8Array<ArrayBuffer>[] = [];
  return (bytes) => {
    if (bytes > wholeBytesMax) return null;
    const fits = spare.findIndex(({ length }) => length >= bytes);
    const whole = spare.splice(fits, fits < 0 ? 0 : 1)[0] ?? new Uint8Array(bytes);
    let at = 0;
    return {
      update(piece) {
        whole.set(piece, at);
        at += piece.length;
      },
      async hex() {
        const digest = new Uint8Array(await subtle.digest('SHA-256', whole.subarray(0, at)));
        if (spare.length < spareMax) spare.push(whole);
        return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      },
    };
  };
}

/** Makes hashes on any host, for what does not go into the core: manifests, and the cache's own checks. */
export async function anyHash(): Promise<(bytes: number) => ShardHash> {
  const make = await platformHash();
  return (bytes) => make?.(bytes) ?? new Sha256();
}

/** The sha256 of `bytes` in hex. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const hash = (await anyHash())(bytes.length);
  hash.update(bytes);
  return await hash.hex();
}
