// What the tests of js/weights share: a folder for caches, servers that are closed in the end, quick retries.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { pull, type Pulled, type PullOptions } from '../../js/weights/pull.ts';
import { faultyServer, type FaultyServer, type MadeModel, sha256 } from './faulty_server.ts';

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

export function atEnd(work: () => unknown): void {
  endings.push(work);
}

export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-weights-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function serving(model: MadeModel): Promise<FaultyServer> {
  const server = await faultyServer(new Map(model.files));
  atEnd(() => server.close());
  return server;
}

/** Retries without long pauses. A machine that is busy elsewhere must not look like a stall. */
export const quick = { retryMs: 1, stallMs: 20_000 };
/** Where a stall is what is tested. */
export const impatient = { stallMs: 300 };

export function pulling(
  server: FaultyServer,
  directory: string,
  options: PullOptions = {},
): Promise<Pulled> {
  return pull(server.url, { cache: { directory }, ...quick, ...options });
}

/** Names of the model's shards that lie in `directory` and are what they should be; throws when one is not. */
export function verifiedIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.endsWith('.safetensors'));
  for (const name of names) {
    const found = sha256(readFileSync(join(directory, name)));
    if (`${found}.safetensors` !== name) throw new Error(`${name} holds ${found}`);
  }
  return names;
}

export function sizeOf({ shards }: MadeModel): number {
  return shards.reduce((sum, { length }) => sum + length, 0);
}
