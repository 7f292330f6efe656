// LoRA adapters through AI.run: from a folder, from servers that break, from bytes; in every variant, in company, in an
// engine that is opened anew, and what a wrong one gets. That they compute what PEFT does: tests/golden.
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ChatCompletion } from '../../js/index.ts';
import { type FaultyServer, faultyServer, sha256 } from '../weights/faulty_server.ts';
import { ocelli, refusal, variantNames, modelForTests } from './real_model.ts';

const ours = modelForTests({ context: 512 });
const { ai } = ours;
const folderOf = (name: string): string => join(ours.made.source, 'adapters', name);
const fileOf = (name: string, file: string): Buffer => readFileSync(join(folderOf(name), file));

const body = {
  messages: [{ role: 'user', content: 'Hello' }],
  temperature: 0,
  max_tokens: 12,
  logprobs: true,
  top_logprobs: 3,
};
const said = ({ choices }: ChatCompletion): unknown => choices;

describe.each(variantNames)('%s', (variant) => {
  it.each(['worker', 'inline'] as const)(
    'an adapter is a model of its own name (%s)',
    async (thread) => {
      const one = ai({ variant, thread });
      const base = said(await one.run(null, body));
      await one.adapters.load('all', folderOf('all'));
      await one.adapters.load('some', folderOf('some'));
      expect(await one.adapters.list()).toEqual(['all', 'some']);
      const all = await one.run('all', body);
      expect(all.model).toBe('all');
      expect(said(all)).not.toEqual(base);
      const together = await Promise.all(['all', null, 'some'].map((name) => one.run(name, body)));
      expect(said(together[0] as ChatCompletion)).toEqual(said(all));
      expect(said(together[1] as ChatCompletion)).toEqual(base);
      expect(said(together[2] as ChatCompletion)).toEqual(said(await one.run('some', body)));
      const streamed = await one.run('all', { ...body, stream: true });
      expect(said(await streamed.json())).toEqual(said(all));
    },
  );
});

it('goes into each engine that is opened later', async () => {
  const one = ai();
  await one.adapters.load('all', folderOf('all'));
  const before = said(await one.run('all', body));
  await one.close();
  expect(said(await one.run('all', body))).toEqual(before);
  expect(await one.adapters.list()).toEqual(['all']);
});

it('can be unloaded, and its name used again', async () => {
  const one = ai();
  await one.adapters.load('x', folderOf('all'));
  const before = said(await one.run('x', body));
  await one.adapters.unload('x');
  expect(await one.adapters.list()).toEqual([]);
  expect((await refusal(one.run('x', body))).status).toBe(404);
  expect(await refusal(one.adapters.unload('x'))).toMatchObject({
    status: 404,
    message: "The lora adapter 'x' cannot be found.",
  });
  const files = {
    config: fileOf('some', 'adapter_config.json').toString('utf8'),
    tensors: fileOf('some', 'adapter_model.safetensors'),
  };
  await one.adapters.load('x', files);
  expect(said(await one.run('x', body))).not.toEqual(before);
  expect(await refusal(one.adapters.load('x', files))).toMatchObject({
    status: 400,
    message: "The lora adapter 'x' has already been loaded.",
  });
  for (const name of ['', 'runware:152@1'])
    expect((await refusal(one.adapters.load(name, files))).param).toBe('lora_name');
  // A request's own field of that name means nothing.
  expect(said(await one.run(null, { ...body, adapter: 'x' } as typeof body))).toEqual(
    said(await one.run(null, body)),
  );
});

it('does not stay when it was refused', async () => {
  const one = ai();
  const wrong = join(ours.made.folder, 'wrong');
  cpSync(folderOf('all'), wrong, { recursive: true });
  const config = JSON.parse(readFileSync(join(wrong, 'adapter_config.json'), 'utf8')) as object;
  writeFileSync(join(wrong, 'adapter_config.json'), JSON.stringify({ ...config, use_dora: true }));
  expect(await refusal(one.adapters.load('wrong', wrong))).toMatchObject({
    status: 400,
    code: 'invalid_adapter',
    message: 'adapter_config.json: "use_dora" is true, which is not supported',
  });
  const nowhere = join(ours.made.folder, 'nowhere');
  expect(existsSync(nowhere)).toBe(false);
  expect((await refusal(one.adapters.load('nowhere', nowhere))).message).toMatch(
    /nowhere.adapter_config\.json cannot be read/,
  );
  expect(await one.adapters.list()).toEqual([]);
  await one.adapters.load('wrong', folderOf('all'));
  expect((await one.run('wrong', body)).model).toBe('wrong');
});

it('is an option of the command', async () => {
  const words = ['run', '--model', ours.made.model, '--context', '512'];
  const asked = async (...more: string[]) =>
    JSON.parse(
      (await ocelli([...words, ...more, '--request', '-'], JSON.stringify(body))).out,
    ) as ChatCompletion;
  const one = ai();
  await one.adapters.load('adapter', folderOf('some'));
  const expected = said(await one.run('adapter', body));
  expect(said(await asked('--adapter', folderOf('some')))).toEqual(expected);
  expect(said(await asked())).not.toEqual(expected);
  const wrong = await ocelli(['serve', '--model', ours.made.model, '--adapter', 'noplace']);
  expect(wrong.code).toBe(2);
  expect(wrong.err).toContain('--adapter must be NAME=FOLDER or NAME=URL, got noplace');
});

describe('from a server', () => {
  let server: FaultyServer;
  beforeAll(async () => {
    const files = ['adapter_config.json', 'adapter_model.safetensors'];
    server = await faultyServer(
      new Map(files.map((name) => [name, new Uint8Array(fileOf('all', name))])),
    );
    ours.open.push(server);
  });
  const quick = { download: { retryMs: 1, stallMs: 500 }, cache: 'none' as const };

  it('comes through broken transfers, byte for byte', async () => {
    const expected = ai();
    await expected.adapters.load('all', folderOf('all'));
    server.fault = ({ file, nth }) => {
      if (file === 'adapter_config.json') return nth === 0 ? { status: 503 } : null;
      return [{ cutAfter: 30_000 }, { status: 500 }, { stallAfter: 9000 }, { cutAfter: 20_000 }][
        nth
      ];
    };
    const one = ai(quick);
    const pin = sha256(fileOf('all', 'adapter_model.safetensors'));
    await one.adapters.load('all', { from: `${server.url}`, sha256: pin });
    expect(said(await one.run('all', body))).toEqual(said(await expected.run('all', body)));
    const ranges = server.requests.map(({ range }) => range).filter(Boolean);
    expect(ranges.length).toBeGreaterThan(0);
  });

  it('comes out of the cache when it has not changed', async () => {
    server.fault = () => null;
    const cached = { ...quick, cache: { directory: join(ours.made.folder, 'cache') } };
    const first = ai(cached);
    await first.adapters.load('all', server.url);
    const before = server.sent;
    const again = ai(cached);
    await again.adapters.load('all', server.url);
    expect(server.sent).toBe(before);
    expect(said(await again.run('all', body))).toEqual(said(await first.run('all', body)));
    const listed = await ocelli(['cache', 'list', '--cache', cached.cache.directory]);
    expect(listed.out).toMatch(
      /^model \(adapter\)  .* MiB  used .* http:.*adapter_model.safetensors\n$/,
    );
    const removed = await ocelli([
      'cache',
      'remove',
      server.url,
      '--cache',
      cached.cache.directory,
    ]);
    expect(removed).toMatchObject({ code: 0 });
    expect((await ocelli(['cache', 'list', '--cache', cached.cache.directory])).out).toMatch(
      /^nothing/,
    );
  });

  it.each([
    ['a file that is not there', { status: 404 }, 'file_not_found', /does not have it/],
    [
      'a web page',
      { headers: { 'content-type': 'text/html' }, body: '<p>' },
      'invalid_adapter',
      /web page/,
    ],
    ['servers that go on failing', { status: 500 }, 'download_failed', /given up after 2 attempts/],
  ])('%s', async (_, fault, code, message) => {
    server.fault = () => fault;
    const one = ai({ ...quick, download: { ...quick.download, attempts: 2 } });
    const error = await refusal(one.adapters.load('all', server.url));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('has another hash than the pinned one', async () => {
    server.fault = ({ file }) => (file.endsWith('safetensors') ? { damageAt: 9000 } : null);
    const one = ai(quick);
    const place = { from: server.url, sha256: sha256(fileOf('all', 'adapter_model.safetensors')) };
    expect((await refusal(one.adapters.load('all', place))).code).toBe('adapter_hash_mismatch');
    server.fault = () => null;
    expect((await refusal(one.adapters.load('all', { ...place, sha256: 'f00' }))).param).toBe(
      'sha256',
    );
  });
});
