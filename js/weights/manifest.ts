// Owns reading manifest.json as far as JavaScript needs it. Called by thread/engine.ts, download.ts and the command.
// Surprise: shard names become file names and URLs, so their form is checked here too; the core checks all the rest.
import { invalidManifest, reasonOf } from './failures.ts';
import type { Manifest, ShardInfo } from './source.ts';

/** The newest version of the container that this package reads; src/format/manifest.cc has the same. */
const versionMax = 1;

/** The manifest, or an OcelliError "invalid_manifest". */
export function parseManifest(bytes: Uint8Array): Manifest {
  let manifest: (Manifest & { version?: unknown }) | null = null;
  try {
    manifest = JSON.parse(new TextDecoder().decode(bytes)) as Manifest;
  } catch (error) {
    throw invalidManifest(`manifest.json is not JSON: ${reasonOf(error)}`, error);
  }
  if (!Array.isArray(manifest?.shards) || typeof manifest.name !== 'string')
    throw invalidManifest('manifest.json has no name or no list of shards');
  const { version } = manifest;
  if (typeof version === 'number' && version > versionMax) {
    throw invalidManifest(
      `manifest.json is of version ${version}, this ocelli reads version ${versionMax}: a newer ocelli is needed`,
    );
  }
  for (const [index, shard] of manifest.shards.entries()) checkShard(shard, index);
  return manifest;
}

function checkShard(shard: ShardInfo | null, index: number): void {
  const wrong = (what: string, value: unknown, must: string): never => {
    throw invalidManifest(
      `manifest.json: shards[${index}].${what} is ${JSON.stringify(value) ?? 'missing'}; it must be ${must}`,
    );
  };
  const { sha256, bytes, holds } = shard ?? ({} as Partial<ShardInfo>);
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256))
    wrong('sha256', sha256, '64 lower-case hex digits');
  if (typeof bytes !== 'number' || !Number.isInteger(bytes) || bytes < 1 || bytes >= 2 ** 32)
    wrong('bytes', bytes, 'an integer from 1 to 4294967295');
  if (!Array.isArray(holds) || !holds.every((name) => typeof name === 'string'))
    wrong('holds', holds, 'a list of names');
}
