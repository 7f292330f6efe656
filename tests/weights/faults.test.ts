// A bad day, hundreds of times: servers that cut, stall, lie, refuse and send nonsense, several mirrors of which some do,
// aborts, processes killed before any of their writes, several on one cache. Each run has to end in the right bytes or in an
// error that says what is wrong with which file, never fetches or loses what was verified, and the next start asks for
// nothing but what is missing. Surprise: the seed decides everything but timing;
//   OCELLI_FAULT_RUNS=5000 npx vitest run tests/weights/faults.test.ts     more runs (OCELLI_FAULT_SEED: from which on)
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { OcelliError } from '../../js/errors.ts';
import { pull, type PullOptions } from '../../js/weights/pull.ts';
import { socketFetch } from '../../js/weights/socket_fetch.ts';
import { type ShardInfo, shardFile } from '../../js/weights/source.ts';
import { root } from '../js/real_model.ts';
import { dice, faultOf, seedOf, type Trouble } from './dice.ts';
import { faultyServer, type FaultyServer, type MadeModel, randomShards } from './faulty_server.ts';
import { quick, verifiedIn } from './fixtures.ts';

const runs = Number(process.env['OCELLI_FAULT_RUNS'] ?? 520);
const firstSeed = Number(process.env['OCELLI_FAULT_SEED'] ?? 1);
/** So many at a time: most of a run is waiting. */
const lanes = 3;

/** What a start came to. */
interface Ending {
  kind: 'right' | 'error' | 'killed' | 'aborted';
  error?: { code: string; param: string | null; message: string };
}

const counts = new Map<string, number>();
const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);

/** Errors that a server can bring about, and what they have to say of what was found. */
const says: Record<string, RegExp> = {
  access_denied: /HTTP status 40[13]; expected 200 or 206/,
  file_not_found: /HTTP status 4(04|10); expected 200 or 206/,
  download_failed:
    /HTTP status \d+; expected|cannot be fetched|ended after byte \d+ of \d+|asks to wait \d+ s/,
  download_stalled: /nothing came from http.* for [\d.]+ s/,
  redirect_loop: /redirects without end; expected the file/,
  invalid_shard:
    /has \d+ bytes at .*, the manifest says \d+|sent a web page .*expected the file|has changed/,
  shard_hash_mismatch: /has the sha256 [0-9a-f]{64}, the manifest says [0-9a-f]{64}/,
  invalid_manifest: /manifest\.json|JSON|web page/,
  manifest_hash_mismatch: /has the sha256 [0-9a-f]{64}, the pinned one is [0-9a-f]{64}/,
};

function expectTyped({ code, param, message }: NonNullable<Ending['error']>): void {
  expect(Object.keys(says), message).toContain(code);
  expect(param).toMatch(/^([0-9a-f]{64}\.safetensors|manifest\.json)$/);
  expect(message).toMatch(says[code] as RegExp);
}

async function pulled(url: string, options: PullOptions): Promise<Ending> {
  try {
    await pull(url, options);
    return { kind: 'right' };
  } catch (error) {
    if (error === 'enough') return { kind: 'aborted' };
    expect(error).toBeInstanceOf(OcelliError);
    return { kind: 'error', error: error as OcelliError };
  }
}

interface Death {
  /** Before which of its changes to the disk it kills itself. */
  dieAt?: number;
  torn?: boolean;
  /** Milliseconds after which it is killed from outside. */
  killMs?: number;
}

async function pulledInProcess(
  url: string,
  options: PullOptions,
  { killMs, ...death }: Death,
): Promise<Ending & { changes?: number }> {
  const script = join(root, 'tests/weights/mortal_pull.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify({ url, options, ...death })]);
  let text = '';
  let complaint = '';
  child.stdout.on('data', (bytes) => (text += bytes));
  child.stderr.on('data', (bytes) => (complaint += bytes));
  const timer = killMs === undefined ? null : setTimeout(() => child.kill('SIGKILL'), killMs);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.on('close', (...ended) => resolve(ended)),
  );
  if (timer) clearTimeout(timer);
  if (signal === 'SIGKILL') return { kind: 'killed' };
  expect([code, complaint]).toEqual([0, '']);
  const { error, changes } = JSON.parse(text);
  return error ? { kind: 'error', error } : { kind: 'right', changes };
}

/** How many bytes of a shard a good server has to send, given what lies in the cache; 0 when it is there. */
function bytesMissing(folder: string, info: ShardInfo, model: MadeModel, etag: string): number {
  if (existsSync(join(folder, shardFile(info)))) return 0;
  const partial = join(folder, `${info.sha256}.partial`);
  if (!existsSync(partial)) return info.bytes;
  const have = readFileSync(partial);
  const right = (model.files.get(shardFile(info)) as Uint8Array).subarray(0, have.length);
  const from = join(folder, `${info.sha256}.from`);
  const other =
    existsSync(from) && !readFileSync(from, 'utf8').includes(JSON.stringify(etag).slice(1, -1));
  // Then the server answers with all of it, and what came before has been handed on: once more from the start.
  const wrong = other || Buffer.compare(have, right) !== 0;
  return wrong ? 2 * info.bytes : Math.max(0, info.bytes - have.length);
}

/** Whether the cache has a manifest that was damaged on its way: nothing tells, until its shards have been asked for. */
function misled(folder: string, model: MadeModel): boolean {
  const right = new TextDecoder().decode(model.manifest);
  const records = readdirSync(folder).filter((name) => /^model-\w+\.json$/.test(name));
  return records.some((name) => {
    const { manifest } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    return manifest !== right;
  });
}

/** The start after a bad day, from a good server: it succeeds, and takes no more than what was missing. */
async function expectRest(server: FaultyServer, folder: string, model: MadeModel): Promise<void> {
  server.fault = () => null;
  const lied = misled(folder, model);
  const { shards } = model.info;
  const needed = new Map(
    shards.map((info) => {
      const etag = `"${info.sha256.slice(0, 16)}"`;
      return [shardFile(info), bytesMissing(folder, info, model, etag)];
    }),
  );
  for (const again of [false, true]) {
    server.requests.length = 0;
    server.sentOf.clear();
    await pull(server.url, { ...quick, cache: { directory: folder } });
    expect(verifiedIn(folder).sort()).toEqual([...needed.keys()].sort());
    if (again) expect(server.shardRequests()).toEqual([]);
    else
      for (const [file, bytes] of needed)
        expect(server.sentOf.get(file) ?? 0, file).toBeLessThanOrEqual(lied ? 2 * bytes : bytes);
  }
}

async function run(seed: number): Promise<void> {
  const random = dice(seedOf('run', seed));
  const noise = (size: number): Uint8Array => {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; at++) bytes[at] = random(256);
    return bytes;
  };
  const sizes = Array.from(
    { length: 1 + random(4) },
    () => 1 + random([50, 3000, 40_000][random(3)]!),
  );
  const model = randomShards(sizes, 'random', noise);
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-faults-'));
  const mirrors = await Promise.all(
    Array.from({ length: 1 + random(3) }, () => faultyServer(new Map(model.files))),
  );
  try {
    const stalls = random(6) === 0;
    const troubles = mirrors.map(
      (_, n): Trouble => ({
        seed: seedOf(seed, n),
        percent: [0, 30, 60, 90][random(4)]!,
        lies: mirrors.length > 1 && random(4) === 0,
        stalls,
      }),
    );
    for (const [n, server] of mirrors.entries()) {
      server.fault = (request) => {
        const size = model.files.get(request.file)?.length ?? 1;
        const found = faultOf(request, size, troubles[n]!);
        if (found?.name) count(found.name);
        return found?.fault;
      };
    }
    const [first, ...others] = mirrors.map(({ url }) => url) as [string, ...string[]];
    const options: PullOptions = {
      cache: { directory: folder },
      mirrors: others,
      parallel: 1 + random(4),
      attempts: 2 + random(3),
      retryMs: 1,
      stallMs: stalls ? 150 : quick.stallMs,
    };
    const good = troubles.some(({ percent, lies }) => percent === 0 && !lies);

    for (let life = 1 + random(3); life > 0; life--) {
      const before = verifiedIn(folder);
      for (const server of mirrors) server.requests.length = 0;
      const endings = await start(random, first, options, sizes);
      for (const { kind, error } of endings) {
        count(`end: ${kind}`);
        if (error) expectTyped(error);
        // One good server is enough.
        if (good && !stalls) expect(kind, error?.message).not.toBe('error');
      }
      const after = verifiedIn(folder);
      expect(after).toEqual(expect.arrayContaining(before));
      if (endings.some(({ kind }) => kind === 'right')) expect(after).toHaveLength(sizes.length);
      const asked = mirrors.flatMap((server) => server.shardRequests().map(({ file }) => file));
      expect(before.filter((file) => asked.includes(file))).toEqual([]);
    }
    await expectRest(mirrors[0]!, folder, model);
  } finally {
    for (const server of mirrors) await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One start of some kind, or several at once. */
async function start(
  random: (below: number) => number,
  url: string,
  options: PullOptions,
  sizes: readonly number[],
): Promise<Ending[]> {
  const death = (): Death =>
    random(4) === 0 ? { killMs: 40 + random(120) } : { dieAt: random(50), torn: random(2) === 0 };
  const kind = random(32);
  const here = { ...options, fetch: random(2) === 0 ? socketFetch : fetch };
  if (kind === 0) {
    count('several processes on one cache');
    return await Promise.all([death(), {}].map((how) => pulledInProcess(url, options, how)));
  }
  if (kind < 3) return [await pulledInProcess(url, options, death())];
  if (kind < 6) {
    const control = new AbortController();
    const at = random(sizes.reduce((sum, size) => sum + size, 0));
    const onProgress = (bytes: number): void => void (bytes >= at && control.abort('enough'));
    return [await pulled(url, { ...here, signal: control.signal, onProgress })];
  }
  return [await pulled(url, here)];
}

it(`ends well, ${runs} times`, { timeout: 100_000 + 2000 * runs }, async () => {
  let seed = firstSeed;
  const lane = async (): Promise<void> => {
    while (seed < firstSeed + runs) {
      const mine = seed++;
      await run(mine).catch((error: unknown) => {
        const command = `OCELLI_FAULT_SEED=${mine} OCELLI_FAULT_RUNS=1 npx vitest run tests/weights/faults.test.ts`;
        throw new Error(
          `seed ${mine}: ${String((error as Error).message)}\nonce more: ${command}`,
          {
            cause: error,
          },
        );
      });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const line = [...counts].sort().map(([what, times]) => `${what} ${times}`);
  console.log(`${runs} runs from seed ${firstSeed}; ${line.join(', ')}`);
  if (runs < 100) return;
  // Of everything there was some.
  for (const kind of ['right', 'error', 'killed', 'aborted'])
    expect(counts.get(`end: ${kind}`) ?? 0, kind).toBeGreaterThan(runs / 100);
});

it('goes on after a kill before any of its changes to the disk', async () => {
  const model = randomShards([30_000, 20_000]);
  const dying = async (dieAt: number): Promise<boolean> => {
    const server = await faultyServer(new Map(model.files));
    const folder = mkdtempSync(join(tmpdir(), 'ocelli-faults-'));
    try {
      const options: PullOptions = { ...quick, cache: { directory: folder }, parallel: 1 };
      const death = { dieAt, torn: dieAt % 2 === 1 };
      const { kind } = await pulledInProcess(server.url, options, death);
      verifiedIn(folder);
      await expectRest(server, folder, model);
      return kind === 'killed';
    } finally {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    }
  };
  let deaths = 0;
  for (let all = true; all; ) {
    const some = await Promise.all(Array.from({ length: lanes }, (_, n) => dying(deaths + n)));
    deaths += some.filter(Boolean).length;
    all = some.every(Boolean);
  }
  expect(deaths).toBeGreaterThan(15);
  console.log(`killed before each of ${deaths} changes to the disk`);
});
