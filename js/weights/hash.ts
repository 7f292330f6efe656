// Owns the choice of who computes a sha256: node:crypto where there is one, else the core, or sha256.ts for what does not
// go into the core. Called by place.ts, manifest.ts and cache/.
// Surprise: the Web's own crypto.subtle is left out: it takes only whole buffers, so it would need a second copy of every
// shard, and none of shared memory.
import { isNode, nodeModule } from '../host.ts';
import { Sha256 } from './sha256.ts';

export interface ShardHash {
  update(bytes: Uint8Array): void;
  /** 64 lower-case hex digits; the object is spent afterwards. */
  hex(): string;
}

/** Makes hashes, or null where the core is the one to hash. */
export async function platformHash(): Promise<(() => ShardHash) | null> {
  if (!isNode) return null;
  const crypto = await nodeModule('node:crypto').catch(() => null);
  if (!crypto) return null;
  return () => {
    const hash = crypto.createHash('sha256');
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  };
}

/** Makes hashes on any host, for what does not go into the core: manifests, and the cache's own checks. */
export async function anyHash(): Promise<() => ShardHash> {
  return (await platformHash()) ?? (() => new Sha256());
}

/** The sha256 of `bytes` in hex. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const hash = (await anyHash())();
  hash.update(bytes);
  return hash.hex();
}
