// Manifests that are not the model's, where no pin tells: what they name cannot be had, and another mirror's is taken in the
// same run. Surprise: a server cannot be told from a wrong one before a shard has failed everywhere.
import { expect, it } from 'vitest';
import type { Manifest } from '../../js/weights/source.ts';
import { rejection } from '../js/fake_ai.ts';
import { type FaultyServer, randomShards, sha256 } from './faulty_server.ts';
import { pulling, serving, sizeOf, temporary, verifiedIn } from './fixtures.ts';

const encoded = (info: Manifest): Uint8Array => new TextEncoder().encode(JSON.stringify(info));
const asked = ({ requests }: FaultyServer): number =>
  requests.filter(({ file }) => file === 'manifest.json').length;

const model = randomShards([3000, 20_000, 500]);
const [first, second, third] = model.info.shards as [
  Manifest['shards'][0],
  Manifest['shards'][0],
  Manifest['shards'][0],
];
const wrong: [string, Manifest['shards']][] = [
  ['a shard that nobody has', [first, { ...second, sha256: 'ab'.repeat(32) }, third]],
  ['a length that no shard has', [first, { ...second, bytes: 19_000 }, third]],
  [
    'the shards of another model',
    randomShards([3000, 700]).info.shards.map((shard) => ({ ...shard, holds: ['layer.0'] })),
  ],
];

it.each(wrong)('%s: the next mirror is asked, and nothing comes twice', async (_, shards) => {
  const [bad, good] = [await serving(model), await serving(model)];
  bad.files.set('manifest.json', encoded({ ...model.info, shards }));
  const folder = temporary();
  const { fetched } = await pulling(bad, folder, { mirrors: [good.url] });
  expect(verifiedIn(folder)).toHaveLength(3);
  expect(fetched).toBe(sizeOf(model));
  expect([asked(bad), asked(good)]).toEqual([1, 1]);
  // What is in the cache is the right one: nothing is asked for again, and nothing is in doubt.
  const again = await pulling(bad, folder, { mirrors: [good.url] });
  expect(again.fetched).toBe(0);
});

it('each mirror is asked, until one of them has the right one', async () => {
  const [one, two, good] = [await serving(model), await serving(model), await serving(model)];
  one.files.set('manifest.json', encoded({ ...model.info, shards: wrong[0]![1] }));
  two.files.set('manifest.json', encoded({ ...model.info, shards: wrong[1]![1] }));
  const folder = temporary();
  await pulling(one, folder, { mirrors: [two.url, good.url] });
  expect(verifiedIn(folder)).toHaveLength(3);
});

it('the only server is asked once more', async () => {
  const server = await serving(model);
  const at = new TextDecoder().decode(model.manifest).indexOf(second.sha256);
  const other = new Uint8Array(model.manifest);
  other[at] = other[at] === 0x61 ? 0x62 : 0x61;
  server.files.set('manifest.json', other);
  server.fault = ({ file, nth }) => {
    if (file === 'manifest.json' && nth > 0) server.files.set('manifest.json', model.manifest);
    return null;
  };
  const folder = temporary();
  await pulling(server, folder);
  expect(verifiedIn(folder)).toHaveLength(3);
  expect(asked(server)).toBe(2);
});

it('where all agree, the error is the shard’s, and each mirror has been asked once', async () => {
  const servers = [await serving(model), await serving(model), await serving(model)];
  for (const { files } of servers) files.delete(`${second.sha256}.safetensors`);
  const [one, two, three] = servers as [FaultyServer, FaultyServer, FaultyServer];
  const mirrors = [two.url, three.url];
  const folder = temporary();
  const error = await rejection(pulling(one, folder, { mirrors }));
  expect(error).toMatchObject({ code: 'file_not_found', param: `${second.sha256}.safetensors` });
  expect(servers.map(asked)).toEqual([2, 1, 1]); // who gave it has the last word
  // The next start looks for another one at once.
  await rejection(pulling(one, folder, { mirrors }));
  expect(servers.map(asked)).toEqual([4, 2, 2]);
  for (const { files } of servers) files.set(`${second.sha256}.safetensors`, model.shards[1]!);
  await pulling(one, folder, { mirrors });
  // All is there, so it was right after all.
  await pulling(one, folder, { mirrors });
  for (const server of servers) server.requests.length = 0;
  await pulling(one, folder, { mirrors });
  expect(servers.map(asked)).toEqual([1, 0, 0]);
});

it('where the others do not answer, the error is the shard’s', async () => {
  const [bad, gone] = [await serving(model), await serving(model)];
  bad.files.set('manifest.json', encoded({ ...model.info, shards: wrong[0]![1] }));
  await gone.close();
  const error = await rejection(pulling(bad, temporary(), { mirrors: [gone.url], attempts: 1 }));
  expect(error.param).toBe(`${'ab'.repeat(32)}.safetensors`);
});

it('a pinned one is never doubted', async () => {
  const manifest = encoded({ ...model.info, shards: wrong[0]![1] });
  const servers = [await serving(model), await serving(model)];
  for (const { files } of servers) files.set('manifest.json', manifest);
  const [one, two] = servers as [FaultyServer, FaultyServer];
  const how = { mirrors: [two.url], manifestSha256: sha256(manifest) };
  const error = await rejection(pulling(one, temporary(), how));
  expect(error.code).toBe('file_not_found');
  expect(servers.map(asked)).toEqual([1, 0]);
});

it('an abort ends the search', async () => {
  const [bad, silent] = [await serving(model), await serving(model)];
  bad.files.set('manifest.json', encoded({ ...model.info, shards: wrong[0]![1] }));
  const control = new AbortController();
  silent.fault = ({ file }) => {
    if (file !== 'manifest.json') return { status: 404 };
    control.abort('enough');
    return { delayMs: 60_000 };
  };
  const how = { mirrors: [silent.url], signal: control.signal };
  await expect(pulling(bad, temporary(), how)).rejects.toBe('enough');
});
