// Engines whose weights come from a server, through the cache: in a worker, in this thread, and where the caller's own
// functions keep the bytes on this side. Surprise: the model is a real one with random weights, so the core judges it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AI, AIOptions, LoadProgress, Manifest, OcelliError } from '../../js/index.ts';
import { builtPackage, randomModel, removal, variantNames } from '../js/real_model.ts';
import { type MadeModel, sha256 } from './faulty_server.ts';
import { atEnd, quick, serving, temporary, verifiedIn } from './fixtures.ts';

let lib: typeof import('../../js/index.ts');
let made: Awaited<ReturnType<typeof randomModel>>;
let model: MadeModel;
beforeAll(async () => {
  lib = await builtPackage();
  made = await randomModel();
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(made.model, name)));
  const manifest = read('manifest.json');
  const info = JSON.parse(new TextDecoder().decode(manifest)) as Manifest;
  const files = new Map([['manifest.json', manifest]]);
  for (const { sha256 } of info.shards)
    files.set(`${sha256}.safetensors`, read(`${sha256}.safetensors`));
  model = { manifest, info, files, shards: [] };
  expect(info.shards.length).toBeGreaterThan(2);
});
afterAll(() => removal(made.folder)());

const body = {
  messages: [{ role: 'user', content: 'Hello' }],
  temperature: 0,
  max_tokens: 4,
  ignore_eos: true,
};
const mt = variantNames.find((name) => name.startsWith('mt')) ?? 'mt-simd128';
const st = variantNames.find((name) => name.startsWith('st')) ?? 'st-simd128';

const places: [string, AIOptions][] = [
  ['in workers', { variant: mt, thread: 'worker' }],
  ['in this thread', { variant: st, thread: 'inline' }],
  [
    'in a worker that is sent the bytes',
    { variant: mt, thread: 'worker', download: { ...quick, headers: () => ({ 'x-my': 'own' }) } },
  ],
];

/** Waits until no lock is left: the thread that reads closes its files after the engine is gone. */
async function unlocked(folder: string): Promise<void> {
  while (readdirSync(folder).some((name) => name.endsWith('.lock')))
    await new Promise((resolve) => setTimeout(resolve, 20));
}

describe.each(places)('%s', (_, options) => {
  const opened = (url: string, directory: string, more: AIOptions = {}): AI => {
    const ai = lib.createAI({
      model: url,
      context: 512,
      download: quick,
      cache: { directory },
      ...options,
      ...more,
    });
    atEnd(() => ai.close());
    return ai;
  };
  const answer = async (ai: AI): Promise<string | null | undefined> =>
    (await ai.run(null, body)).choices[0]?.message.content;
  const failure = async (work: Promise<unknown>): Promise<OcelliError> =>
    await work.then(
      () => {
        throw new Error('it did not fail');
      },
      (error: OcelliError) => error,
    );

  it('fetches weights once', async () => {
    const server = await serving(model);
    const folder = temporary();
    const expected = await answer(opened(made.model, folder));
    const first = opened(server.url, folder);
    const seen: LoadProgress[] = [];
    expect(await answer(first)).toBe(expected);
    await first.info();
    expect(server.shardRequests()).toHaveLength(model.info.shards.length);
    expect(verifiedIn(folder)).toHaveLength(model.info.shards.length);
    await first.close();
    server.requests.length = 0;
    const second = opened(server.url, folder, {
      onProgress: (_, __, more) => void seen.push(more),
    });
    expect(await answer(second)).toBe(expected);
    await second.info();
    expect(server.shardRequests()).toEqual([]);
    expect(seen.at(-1)).toMatchObject({
      fetched: 0,
      shards: model.info.shards.length,
      ready: { tokenizer: true, layers: model.info.config.text.layers },
    });
    if (options.download?.headers) expect(server.requests[0]?.headers['x-my']).toBe('own');
  });

  it('throws a damaged shard of the cache away and fetches it again', async () => {
    const server = await serving(model);
    const folder = temporary();
    const first = opened(server.url, folder);
    const expected = await answer(first);
    await first.info();
    await first.close();
    const names = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
    const [flipped, short, gone] = names.map((name) => join(folder, name));
    const bytes = readFileSync(flipped!);
    bytes[bytes.length >> 1]! ^= 4;
    writeFileSync(flipped!, bytes);
    writeFileSync(short!, bytes.subarray(0, 1000));
    writeFileSync(gone!, '');
    server.requests.length = 0;
    const second = opened(server.url, folder);
    expect(await answer(second)).toBe(expected);
    await second.info();
    const asked = server.shardRequests().map(({ file }) => file);
    expect(asked.sort()).toEqual(names.slice(0, 3).sort());
    expect(verifiedIn(folder)).toHaveLength(names.length);
  });

  it('asks again for what came damaged, and says so when it always does', async () => {
    const server = await serving(model);
    const folder = temporary();
    server.fault = ({ nth, file }) =>
      nth === 0 && file !== 'manifest.json' ? { damageAt: 500 } : null;
    await opened(server.url, folder).info();
    expect(verifiedIn(folder)).toHaveLength(model.info.shards.length);
    const last = model.info.shards.at(-1)!.sha256;
    server.fault = ({ file }) => (file.startsWith(last) ? { damageAt: 500 } : null);
    const other = opened(server.url, temporary());
    const error = await failure(other.info());
    expect(error).toMatchObject({ code: 'shard_hash_mismatch', status: 500 });
    expect(error.message).toMatch(new RegExp(`${last}.safetensors has the sha256 [0-9a-f]{64}`));
    server.fault = () => null;
    await other.info(); // the next try
  });

  it('tells what is wrong with a shard', async () => {
    const server = await serving(model);
    const [shard] = model.info.shards;
    const file = `${shard!.sha256}.safetensors`;
    server.fault = (request) => (request.file === file ? { status: 404 } : null);
    const ai = opened(server.url, temporary());
    const error = await failure(ai.run(null, body));
    expect(error).toMatchObject({ code: 'file_not_found', param: file });
    server.fault = () => null;
    await ai.info();
  });

  it('takes the manifest of another mirror when one names what nobody has', async () => {
    const [bad, good] = [await serving(model), await serving(model)];
    const ids = model.info.shards.map(({ sha256 }) => sha256);
    // Once the tokenizer's is there, requests hear of it, and the next one has the other manifest.
    for (const holds of ['tokenizer', 'layer.0']) {
      const shard = model.info.shards.findIndex((info) => info.holds.includes(holds));
      const shards = model.info.shards.with(shard, {
        ...model.info.shards[shard]!,
        sha256: 'ab'.repeat(32),
      });
      bad.files.set(
        'manifest.json',
        new TextEncoder().encode(JSON.stringify({ ...model.info, shards })),
      );
      const folder = temporary();
      const download = { ...options.download, ...quick, mirrors: [good.url] };
      const ai = opened(bad.url, folder, { download });
      const first = await ai.info().catch((error: OcelliError) => error);
      if ('code' in first) {
        expect(holds).toBe('layer.0');
        expect(first.param).toBe(`${'ab'.repeat(32)}.safetensors`);
        await ai.info();
      }
      expect(verifiedIn(folder).sort()).toEqual(ids.map((id) => `${id}.safetensors`).sort());
      await ai.close();
      await unlocked(folder);
    }
  });

  it('leaves what has come when it is closed, and no locks', async () => {
    const server = await serving(model);
    const folder = temporary();
    server.fault = ({ file }) => (file === 'manifest.json' ? null : { throttle: 40_000 });
    const ai = opened(server.url, folder);
    const loading = failure(ai.info());
    while (server.sent < 60_000) await new Promise((resolve) => setTimeout(resolve, 5));
    await ai.close();
    expect((await loading).code).toBe('engine_closed');
    server.fault = () => null;
    server.sent = 0;
    await unlocked(folder);
    const second = opened(server.url, folder);
    await second.info();
    const size = model.info.shards.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(server.sent).toBeLessThan(size);
    await second.close();
    await unlocked(folder);
  });

  it.each([
    ['is too small', { memoryBytesMax: 300_000 }],
    ['cannot be written', { directory: '/sys/kernel' }],
  ])('does without a cache that %s', async (_, cache) => {
    const server = await serving(model);
    const ai = opened(server.url, '', { cache });
    expect(await answer(ai)).toBe(await answer(opened(made.model, '', { cache: 'none' })));
  });

  it('asks nobody anything where the manifest is pinned and all is there', async () => {
    const server = await serving(model);
    const folder = temporary();
    const download = { ...options.download, ...quick, manifestSha256: sha256(model.manifest) };
    const first = opened(server.url, folder, { download });
    await first.info();
    await first.close();
    server.requests.length = 0;
    expect(await answer(opened(server.url, folder, { download }))).not.toBe('');
    expect(server.requests).toEqual([]);
  });

  it('fetches no shard of a model that is too large', async () => {
    const server = await serving(model);
    for (const how of [{ memoryBytesMax: 1 << 20 }, { memoryBytesMax: 50 << 20 }]) {
      const error = await failure(opened(server.url, temporary(), how).info());
      expect(error).toMatchObject({ code: 'plan_exceeds_memory', status: 507 });
      expect(error.message).toMatch(/^the model needs \d+ bytes .*the memory holds \d+/);
    }
    expect(server.shardRequests()).toEqual([]);
  });
});
