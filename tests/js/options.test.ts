// What createAI says of options that cannot be: each names the option, what it must be and what it got, before anything is
// opened. Surprise: TypeScript would refuse most of these; programs in JavaScript, and those that read configuration, do not.
import { describe, expect, it } from 'vitest';
import { createAI } from '../../js/index.ts';
import { OcelliError } from '../../js/errors.ts';
import { createAI as createWith } from '../../js/ai.ts';
import { variantNames } from './real_model.ts';

const refusal = (options: unknown): OcelliError => {
  try {
    createAI(options as object);
  } catch (error) {
    if (error instanceof OcelliError) return error;
    throw error;
  }
  throw new Error('it was taken');
};
const url = 'https://host/model/';
const own = { manifest: async () => new Uint8Array(), shard: async () => new Uint8Array() };
const wasm = new WebAssembly.Module(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]));

describe('of the wrong type or range', () => {
  it.each<[string, unknown, string]>([
    ['threads', { threads: 'two' }, 'threads must be an integer from 1 to 64, got "two"'],
    ['threads', { threads: NaN }, 'threads must be an integer from 1 to 64, got NaN'],
    ['variant', { variant: 'fast' }, 'variant must be one of "mt-relaxed", "mt-simd128", '],
    ['compute', { compute: 'fp16' }, 'compute must be one of "fast", "reference", got "fp16"'],
    ['kv', { kv: 8 }, 'kv must be one of "f16", "int8", got 8'],
    ['guess', { guess: 'no' }, 'guess must be true or false, got "no"'],
    ['context', { context: '4096' }, 'context must be an integer, at least 1, got "4096"'],
    ['memoryBytesMax', { memoryBytesMax: '1GB' }, 'memoryBytesMax must be an integer, at least 1'],
    ['model', { model: 42 }, 'model must be a folder, a file: or http(s) URL, or an object with'],
    ['model', { model: null }, 'model must be a folder, a file: or http(s) URL, '],
    ['model', { model: '' }, 'model must be a folder, '],
    ['model', { model: 'ftp://host/model' }, 'http(s) URL, or an object with the functions mani'],
    ['model', { model: { manifest: 1, shard: 2 } }, 'got an object with manifest, shard'],
    ['models', { models: 'gpt-4' }, 'models must be one of "any" or a list, each a string that'],
    ['thread', { thread: 'own' }, 'thread must be one of "worker", "inline", got "own"'],
    ['wasm', { wasm: new Uint8Array(8) }, 'wasm must be a WebAssembly.Module'],
    ['onProgress', { onProgress: true }, 'onProgress must be a function, got true'],
    ['fetch', { fetch: url }, 'fetch must be a function'],
    ['cache', { cache: 'disk' }, 'cache must be one of "auto", "none", "fs", "opfs", "cache-api"'],
    ['cache', { cache: { directory: 5 } }, '{ directory }, a string that is not empty'],
    ['download', { download: 'fast' }, 'download must be an object, got "fast"'],
    [
      'download.mirrors',
      { model: url, download: { mirrors: url } },
      'must be a list, each an http',
    ],
    [
      'limits.memoryBytes',
      { limits: { memoryBytes: '1' } },
      'must be a number, at least 0, got "1"',
    ],
    ['remote', { remote: 'https://host/v1' }, 'remote must be an object, got "https://host/v1"'],
    ['remote.retries', { remote: { url, retries: '2' } }, 'an integer from 0 to 100, got "2"'],
    ['files', { files: 5 }, 'files must be a string that is not empty or a URL, got 5'],
    ['fileImages', { fileImages: 'no' }, 'fileImages must be true or false, got "no"'],
    ['idleUnloadMs', { idleUnloadMs: -1 }, 'idleUnloadMs must be an integer from 0 to 2147483647'],
    ['options', 'model', 'options must be an object, such as { model }, got "model"'],
    ['options', null, 'options must be an object, such as { model }, got null'],
  ])('%s: %j', (param, options, words) => {
    const error = refusal(options);
    expect(error).toMatchObject({ status: 400, code: 'invalid_value', param });
    expect(error.message).toContain(words);
  });

  it('shows no secrets', () => {
    const headers = { authorization: 'Bearer secret', number: 1 };
    const mirrors = 'https://me:secret@host/?key=secret';
    for (const options of [{ remote: { url, headers } }, { model: url, download: { mirrors } }])
      expect(refusal(options).message).not.toContain('secret');
  });

  it("is the core's to say in the end, with the caller's names", async () => {
    const variant = variantNames.find((name) => name.startsWith('st'));
    const ai = createAI({ sequencesMax: 65, thread: 'inline', ...(variant && { variant }) });
    await expect(ai.info()).rejects.toMatchObject({
      code: 'invalid_value',
      param: 'sequencesMax',
      message: 'option sequencesMax must be an integer in [1, 64], got 65',
    });
  });
});

describe('that there are not', () => {
  it.each([
    [{ treads: 2 }, 'treads', 'there is no option treads: did you mean threads?'],
    [{ onprogress: () => 0 }, 'onprogress', 'did you mean onProgress?'],
    [{ remote: { url, apikey: 'K' } }, 'remote.apikey', 'did you mean remote.apiKey?'],
    [{ limits: { memory: 1 } }, 'limits.memory', 'there are memoryBytes, cpuMs'],
    [{ model: url, download: { mirror: [] } }, 'download.mirror', 'did you mean download.mirrors?'],
  ])('%j', (options, param, words) => {
    const error = refusal(options);
    expect(error).toMatchObject({ status: 400, code: 'unknown_option', param });
    expect(error.message).toContain(words);
  });
});

describe('that exclude each other', () => {
  it.each<[string, object, string]>([
    ['thread', { wasm, thread: 'worker' }, 'a given module runs in the calling thread'],
    ['variant', { wasm, variant: 'st-simd128' }, 'the given module is the build'],
    ['download', { model: own, download: {} }, 'nothing is downloaded'],
  ])('%s', (param, options, words) => {
    expect(refusal(options)).toMatchObject({ code: 'invalid_value', param });
    expect(refusal(options).message).toContain(words);
  });
});

it('undefined is as if it were not there', () => {
  createWith({ model: undefined, threads: undefined, download: undefined } as object);
});
