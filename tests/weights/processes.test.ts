// Downloads in processes of their own: `ocelli pull` killed at any moment, two at once, a full disk, and `ocelli cache`.
// Surprise: these run the built command, so `npm run build` comes first.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Pulled } from '../../js/weights/pull.ts';
import { ocelli, root } from '../js/real_model.ts';
import { randomShards } from './faulty_server.ts';
import { atEnd, serving, sizeOf, temporary, verifiedIn } from './fixtures.ts';

const kib = 1024;
const pullIn = async (url: string, cache: string): Promise<Pulled> => {
  const ended = await ocelli(['pull', url, '--cache', cache, '--quiet']);
  expect(ended).toMatchObject({ code: 0, err: '' });
  return JSON.parse(ended.out) as Pulled;
};
/** What is neither a model nor a verified shard; a kill may leave a small file that was being replaced, too. */
const left = (folder: string): string[] =>
  readdirSync(folder).filter((name) => !/^(model-\w+\.json|\w+\.safetensors|.*\.tmp)$/.test(name));

describe('ocelli pull', () => {
  it('goes on after being killed, again and again', async () => {
    const model = randomShards([300 * kib, 300 * kib, 300 * kib]);
    const server = await serving(model);
    const cache = temporary();
    server.fault = ({ file }) => (file === 'manifest.json' ? null : { throttle: 600 * kib });
    for (let round = 0; round < 3; round++) {
      const before = server.sent;
      const child = spawn(process.execPath, [
        join(root, 'build/js/cli/main.js'),
        ...['pull', server.url, '--cache', cache, '--quiet'],
      ]);
      while (server.sent - before < (100 + 70 * round) * kib)
        await new Promise((resolve) => setTimeout(resolve, 2));
      child.kill('SIGKILL');
      await new Promise((resolve) => child.on('close', resolve));
    }
    expect(verifiedIn(cache).length).toBeLessThan(3);
    server.fault = () => null;
    const before = server.sent;
    await pullIn(server.url, cache);
    expect(verifiedIn(cache)).toHaveLength(3);
    expect(left(cache)).toEqual([]);
    // What was in flight at a kill is lost, and little else.
    expect(server.sent).toBeLessThan(sizeOf(model) + 3 * 3 * 80 * kib);
    expect(server.sent - before).toBeLessThan(sizeOf(model) - 300 * kib);
  });

  it('shares one download with other processes', async () => {
    const model = randomShards([200 * kib, 200 * kib, 200 * kib, 200 * kib]);
    const server = await serving(model);
    const cache = temporary();
    server.fault = ({ file }) => (file === 'manifest.json' ? null : { throttle: 500 * kib });
    const ended = await Promise.all([0, 1, 2].map(() => pullIn(server.url, cache)));
    expect(ended.reduce((sum, { fetched }) => sum + fetched, 0)).toBe(sizeOf(model));
    expect(server.shardRequests()).toHaveLength(4);
    expect(verifiedIn(cache)).toHaveLength(4);
    expect(left(cache)).toEqual([]);
  });

  it('takes over from a process that was killed while others waited for it', async () => {
    const model = randomShards([400 * kib]);
    const server = await serving(model);
    const cache = temporary();
    server.fault = ({ nth, file }) =>
      file === 'manifest.json' || nth > 0 ? null : { stallAfter: 200 * kib };
    const words = ['pull', server.url, '--cache', cache, '--quiet'];
    const first = spawn(process.execPath, [join(root, 'build/js/cli/main.js'), ...words]);
    const partial = (): string | undefined =>
      readdirSync(cache).find((name) => name.endsWith('.partial'));
    while (!existsSync(cache) || !partial() || server.sent < 200 * kib)
      await new Promise((resolve) => setTimeout(resolve, 5));
    const second = pullIn(server.url, cache);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(server.shardRequests()).toHaveLength(1); // it waits
    first.kill('SIGKILL');
    const { fetched } = await second;
    expect(fetched).toBeLessThanOrEqual(300 * kib);
    expect(verifiedIn(cache)).toHaveLength(1);
    expect(left(cache)).toEqual([]);
  });

  it('stops at an interrupt and keeps what has come', async () => {
    const server = await serving(randomShards([300 * kib]));
    const cache = temporary();
    server.fault = ({ file }) => (file === 'manifest.json' ? null : { throttle: 300 * kib });
    const words = ['pull', server.url, '--cache', cache];
    const child = spawn(process.execPath, [join(root, 'build/js/cli/main.js'), ...words]);
    let err = '';
    child.stderr.on('data', (bytes) => (err += bytes));
    while (server.sent < 100 * kib) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
    expect(err).toBe('ocelli: stopped\n');
    expect(left(cache).map((name) => name.split('.')[1])).toEqual(
      expect.arrayContaining(['partial']),
    );
    expect(readdirSync(cache).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  const mounted = (folder: string): boolean => {
    mkdirSync(folder);
    return spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', folder]).status === 0;
  };
  it('says that the disk is full, on a disk that is', async (context) => {
    const folder = join(temporary(), 'small');
    if (!mounted(folder)) return context.skip('mounting needs more rights');
    atEnd(() => spawnSync('umount', [folder]));
    const server = await serving(randomShards([300 * kib, 1500 * kib]));
    const ended = await ocelli(['pull', server.url, '--cache', folder, '--quiet']);
    expect(ended.code).toBe(1);
    expect(ended.err).toMatch(/^ocelli: cache_full: the cache .* has no room for random: \d+ more/);
    // Room that vanishes while it is being used.
    const other = await serving(randomShards([300 * kib, 600 * kib]));
    other.fault = ({ file }) => (file === 'manifest.json' ? null : { throttle: 1000 * kib });
    const late = ocelli(['pull', other.url, '--cache', folder, '--quiet']);
    while (other.sent < 100 * kib) await new Promise((resolve) => setTimeout(resolve, 2));
    try {
      writeFileSync(join(folder, 'other'), new Uint8Array(1 << 20));
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
    }
    const stopped = await late;
    expect(stopped.code).toBe(1);
    expect(stopped.err).toMatch(/^ocelli: cache_full: .*no space left/i);
    verifiedIn(folder);
  });

  it('refuses what is no URL, and headers that are none', async () => {
    expect(await ocelli(['pull', 'a/folder'])).toMatchObject({ code: 2 });
    const ended = await ocelli(['pull', 'http://127.0.0.1:9/', '--header', 'secret']);
    expect(ended.code).toBe(2);
    expect(ended.err).toMatch(/a --header must be NAME:VALUE/);
    expect(ended.err).not.toContain('secret');
  });
});

describe('ocelli cache', () => {
  it('lists, measures, verifies and removes', async () => {
    const model = randomShards([3 << 20, 1000], 'tiny');
    const server = await serving(model);
    const cache = join(temporary(), 'cache');
    const at = ['--cache', cache];
    // Looking makes no folder.
    expect((await ocelli(['cache', 'list', ...at])).out).toBe(`nothing in ${cache}\n`);
    expect(await ocelli(['cache', 'size', ...at])).toMatchObject({ code: 0 });
    expect(await ocelli(['cache', 'verify', ...at])).toMatchObject({ code: 0 });
    expect((await ocelli(['cache', 'remove', '--unused', ...at])).out).toBe('0.0 MiB freed\n');
    expect(existsSync(cache)).toBe(false);
    const pulled = await ocelli(['pull', server.url, ...at]);
    expect(pulled).toMatchObject({ code: 0 });
    expect(pulled.err).toMatch(/^loaded 3.0 MiB in [\d.]+ s\n$/);
    expect((await ocelli(['cache', 'list', ...at])).out).toMatch(
      /^tiny {2}3.0 MiB {2}used \d{4}-\d\d-\d\d \d\d:\d\d {2}http:.*\n$/,
    );
    expect((await ocelli(['cache', 'size', ...at])).out).toMatch(/^3.0 MiB in .*, [\d.]+ MiB free/);
    const size = JSON.parse((await ocelli(['cache', 'size', '--json', ...at])).out);
    expect(size.bytes).toBeGreaterThan(3 << 20);

    const file = join(cache, `${model.info.shards[0]!.sha256}.safetensors`);
    const bytes = readFileSync(file);
    bytes[1 << 20]! ^= 1;
    writeFileSync(file, bytes);
    const verified = await ocelli(['cache', 'verify', 'tiny', ...at]);
    expect([verified.code, verified.out]).toEqual([1, '2 shards hashed, 1 damaged\n']);
    expect(verified.err).toContain('removed, it is fetched again when needed');
    expect((await pullIn(server.url, cache)).fetched).toBe(3 << 20);
    expect(await ocelli(['cache', 'verify', ...at])).toMatchObject({ code: 0 });

    expect((await ocelli(['cache', 'remove', 'tiny', ...at])).out).toBe('3.0 MiB freed\n');
    expect(readdirSync(cache)).toEqual([]);
    expect((await ocelli(['cache', 'remove', 'tiny', ...at])).err).toMatch(
      /model_not_cached: tiny is not in the cache/,
    );
  });

  it.each([
    [['cache'], /1 operand is needed/],
    [['cache', 'melt'], /there is no action "melt": list, size, verify, remove/],
    [['cache', 'remove'], /remove needs a MODEL, or --unused/],
    [['cache', 'list', 'x'], /unexpected operand "x"/],
    [['cache', 'verify', '--unused'], /--unused goes with remove/],
  ])('refuses %j', async (words, message) => {
    const ended = await ocelli(words);
    expect(ended.code).toBe(2);
    expect(ended.err).toMatch(message);
  });
});
