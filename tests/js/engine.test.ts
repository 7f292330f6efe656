// The real core through AI.run, in every variant that this Node runs: same answers whole, streamed, together and alone,
// on one thread and on two; and what a wrong request or a wrong file gets.
import { canRevectorise } from '../../js/abi/revectorise.ts';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ChatCompletion, EngineEvent } from '../../js/index.ts';
import { bitmap, node, refusal, root, variantNames, modelForTests } from './real_model.ts';

const ours = modelForTests({ context: 1024 });
const { ai } = ours;
let shared: ReturnType<typeof ai> | undefined;
const ask = (text: string) => ({
  messages: [{ role: 'user', content: text }],
  temperature: 0,
  max_tokens: 24,
});
const withImage = () => ({
  ...ask(''),
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image' as const, image: bitmap(84, 112) },
        { type: 'text' as const, text: 'What is this?' },
      ],
    },
  ],
});
const exact = { logprobs: true, top_logprobs: 3, return_token_ids: true, ignore_eos: true };

/** What must not depend on how a request is run. */
function essence({ choices, usage, prompt_token_ids }: ChatCompletion): unknown {
  return { choices, usage, prompt_token_ids };
}

describe.each(variantNames)('%s', (variant) => {
  it('gives the same answer whole, streamed, alone, in company and on one thread', async () => {
    const two = ai({ variant, threads: 2 });
    const bodies = [
      ask('Hello'),
      withImage(),
      ask('a longer question about nothing at all'),
      ask('x'),
    ];
    const alone: unknown[] = [];
    for (const body of bodies) alone.push(essence(await two.run(null, { ...body, ...exact })));
    const together = await Promise.all(bodies.map((body) => two.run(null, { ...body, ...exact })));
    expect(together.map(essence)).toEqual(alone);
    const streams = bodies.map(async (body) =>
      (await two.run(null, { ...body, ...exact, stream: true })).json(),
    );
    expect((await Promise.all(streams)).map(essence)).toEqual(alone);
    const one = ai({ variant, threads: 1, thread: variant.startsWith('st') ? 'inline' : 'worker' });
    for (const [i, body] of bodies.entries()) {
      expect(essence(await one.run(null, { ...body, ...exact }))).toEqual(alone[i]);
    }
    const info = await two.info();
    expect(info).toMatchObject({
      variant,
      threads: variant.startsWith('st') ? 1 : 2,
      context: 1024,
      compute: 'fast',
    });
  });

  it('frees everything when a stream is left early, and goes on', async () => {
    const one = ai({ variant });
    const body = { ...withImage(), ...exact, max_tokens: 400 };
    for (let i = 0; i < 3; i++) {
      let chunks = 0;
      for await (const chunk of await one.run(null, { ...body, stream: true })) {
        expect(chunk.id).toMatch(/^chatcmpl-/);
        if (++chunks === 4) break;
      }
    }
    await expect(one.run(null, { ...body, signal: AbortSignal.timeout(30) })).rejects.toThrow(
      /timeout|aborted/i,
    );
    const answer = await one.run(null, { ...ask('Hello'), ...exact });
    expect(answer.usage.completion_tokens).toBe(24);
    const stats = (await one.stats()) as {
      requests: number;
      kv_blocks: number;
      kv_blocks_free: number;
    };
    expect(stats.requests).toBe(0);
    expect(stats.kv_blocks_free).toBe(stats.kv_blocks);
  });

  it('computes with f32 activations on request', async () => {
    const one = ai({ variant, compute: 'reference' });
    expect((await one.run(null, { ...ask('Hello'), ...exact })).usage.completion_tokens).toBe(24);
    expect((await one.info()).compute).toBe('reference');
  });

  it('guesses tokens unless told not to, with the same answer', async () => {
    const answers: unknown[] = [];
    for (const guess of [true, false]) {
      const one = ai({ variant, guess });
      const body = { ...ask('Say red, red, red'), ...exact, max_tokens: 60, logprobs: true };
      answers.push((await one.run(null, body)).choices);
      const { guessed_tokens } = (await one.stats()) as { guessed_tokens: number };
      if (guess) expect(guessed_tokens).toBeGreaterThan(0);
      else expect(guessed_tokens).toBe(0);
    }
    expect(answers[1]).toEqual(answers[0]);
  });

  it('keeps keys and values in the format that was asked for', async () => {
    const formats: unknown[] = [];
    for (const options of [{}, { kv: 'int8' }, { kv: 'f16' }, { compute: 'reference' }] as const) {
      const { plan } = await ai({ variant, ...options }).info();
      formats.push((plan as { kv_format: string }).kv_format);
    }
    expect(formats).toEqual(['f16', 'int8', 'f16', 'f32']);
    expect(() => ai({ variant, kv: 'int4' as 'int8' })).toThrow(
      'kv must be one of "f16", "int8", got "int4"',
    );
  });

  it('uses 256-bit operations where this host has them, unless told not to', async () => {
    expect((await ai({ variant }).info()).revectorised).toBe(canRevectorise());
    expect((await ai({ variant, revectorise: false }).info()).revectorised).toBe(false);
  });
});

it('every variant says the same', async () => {
  const answers = await Promise.all(
    variantNames.map(async (variant) => {
      const one = ai({ variant });
      const bodies = [ask('Hello'), withImage()].map((body) =>
        one.run(null, { ...body, ...exact }),
      );
      return (await Promise.all(bodies)).map(({ choices }) => choices[0]?.token_ids);
    }),
  );
  for (const answer of answers) expect(answer).toEqual(answers[0]);
});

describe('what a wrong request gets', () => {
  const part = (image: unknown) => [{ role: 'user', content: [{ type: 'image', image }] }];
  const thin = bitmap(1, 201);
  it.each([
    ['no messages', { messages: [] }, 400, /messages/],
    ['no role', { messages: [{ role: '', content: 'x' }] }, 400, /role/],
    ['a temperature', { ...ask('x'), temperature: -1 }, 400, /temperature must be .*-1/],
    [
      'a type',
      { ...ask('x'), max_tokens: 'many' },
      400,
      /max_tokens must be an integer, got "many"/,
    ],
    [
      'a prompt beyond the context',
      ask('word '.repeat(2000)),
      400,
      /maximum context length is 1024 tokens/,
    ],
    ['too many logprobs', { ...ask('x'), logprobs: true, top_logprobs: 21 }, 400, /top_logprobs/],
    ['bytes that are no image', { messages: part(new Uint8Array(64).fill(7)) }, 400, /image/],
    ['no bytes', { messages: part(new Uint8Array(0)) }, 400, /0 bytes/],
    ['an image of 1 x 201', { messages: part(thin) }, 400, /aspect ratio/i],
    ['a cut-off image', { messages: part(bitmap(50, 50).subarray(0, 900)) }, 400, /image/i],
  ])('%s', async (_, body, status, message) => {
    const one = (shared ??= ai());
    for (const stream of [false, true]) {
      const error = await refusal(one.run(null, { ...body, stream } as never));
      expect({ status: error.status, type: error.type }).toEqual({
        status,
        type: 'BadRequestError',
      });
      expect(error.message).toMatch(message);
    }
    expect((await one.run(null, ask('still alive'))).usage.completion_tokens).toBeGreaterThan(0);
  });
});

describe('what a wrong model gets', () => {
  const copy = (name: string): string => {
    const folder = join(ours.made.folder, name);
    cpSync(ours.made.model, folder, { recursive: true });
    return folder;
  };
  const shardOf = (folder: string): string =>
    readdirSync(folder).filter((name) => name.endsWith('.safetensors'))[1] ?? '';

  it.each(['worker', 'inline'] as const)('a changed byte (%s)', async (thread) => {
    const folder = copy(`changed-${thread}`);
    const shard = shardOf(folder);
    const bytes = readFileSync(join(folder, shard));
    bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
    writeFileSync(join(folder, shard), bytes);
    // Not a run's own answer: it may be there before a shard that it never uses has been read.
    const error = await refusal(ai({ model: folder, thread }).info());
    expect(error).toMatchObject({ status: 500, code: 'shard_hash_mismatch' });
    expect(error.message).toContain(shard);
  });

  it('a cut-off shard', async () => {
    const folder = copy('short');
    const shard = shardOf(folder);
    writeFileSync(join(folder, shard), readFileSync(join(folder, shard)).subarray(0, 5000));
    const error = await refusal(ai({ model: folder }).info());
    expect(error.message).toMatch(new RegExp(`${shard} has 5000 bytes, the manifest says \\d+`));
  });

  it('a missing folder, a manifest that is none', async () => {
    expect(
      (await refusal(ai({ model: join(ours.made.folder, 'nowhere') }).info())).message,
    ).toMatch(/nowhere.manifest\.json cannot be read/);
    const folder = copy('odd');
    writeFileSync(join(folder, 'manifest.json'), '{"name": 5');
    expect((await refusal(ai({ model: folder }).info())).code).toBe('invalid_manifest');
  });

  it('more memory than allowed, said before anything is loaded', async () => {
    let loaded = 0;
    const error = await refusal(ai({ memoryBytesMax: 4 << 20, onProgress: () => loaded++ }).info());
    expect([error.status, error.code, loaded]).toEqual([507, 'plan_exceeds_memory', 0]);
  });
});

it('takes a model from the caller, byte by byte', async () => {
  const manifest = readFileSync(join(ours.made.model, 'manifest.json'));
  const { shards } = JSON.parse(manifest.toString('utf8')) as {
    shards: { sha256: string; bytes: number }[];
  };
  const seen: [number, number][] = [];
  const one = ai({
    model: {
      manifest: async () => manifest,
      shard: async (_, { sha256 }) => readFileSync(join(ours.made.model, `${sha256}.safetensors`)),
    },
    onProgress: (bytes, total) => seen.push([bytes, total]),
  });
  const other = await ai().run(null, { ...ask('Hello'), ...exact });
  expect(essence(await one.run(null, { ...ask('Hello'), ...exact }))).toEqual(essence(other));
  const total = shards.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(shards.length).toBeGreaterThan(2);
  expect(seen.at(-1)).toEqual([total, total]);
});

it('tells how long an answer took', async () => {
  let timing: { first_token_ms: number; decode_ms: number } | undefined;
  const onEvent = (event: EngineEvent): void => {
    if (event.type === 'done') ({ timing } = event);
  };
  const start = performance.now();
  await ai().run(null, { ...ask('Hello'), ...exact }, { onEvent });
  const took = performance.now() - start;
  expect(timing?.first_token_ms).toBeGreaterThan(0);
  expect(timing?.decode_ms).toBeGreaterThan(0);
  expect((timing?.first_token_ms ?? NaN) + (timing?.decode_ms ?? NaN)).toBeLessThan(took);
});

it('lets a program end that never closed anything', async () => {
  const program = `
    import { install } from ${JSON.stringify(join(root, 'build/js/index.js'))};
    install({ model: ${JSON.stringify(ours.made.model)}, context: 512 });
    const answer = await Azion.AI.run('qwen-qwen25-vl-3b-instruct-awq', {
      messages: [{ role: 'user', content: 'hi' }], max_tokens: 3, ignore_eos: true,
    });
    console.log(answer.model, answer.usage.completion_tokens);`;
  const ended = await node(['--input-type=module', '-e', program]);
  expect(ended).toEqual({ code: 0, out: 'qwen-qwen25-vl-3b-instruct-awq 3\n', err: '' });
});
