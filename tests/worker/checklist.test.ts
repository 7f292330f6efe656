// The lines of the service's checklist that the server answers for, and where the tests of each stand. Surprise: the last test
// reads the other files: a line whose tests were renamed or dropped is a line that nobody holds any more.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../worker/keys.ts';
import { textScript } from '../js/fake_core.ts';
import { root } from '../js/real_model.ts';
import { chat, type FakeWorker, fakeWorker, hello } from './fake_worker.ts';
import { caption } from './runware_tasks.ts';

const text = expect.stringMatching(/\w/) as string;
const vllmFields = (status: number) => ({
  ...{ message: text, type: text, code: status, param: expect.toBeOneOf([null, text]) as unknown },
});
/** A dialect: who asks it how, and its errors. */
const dialects = {
  vllm: {
    ...{ key: 'sk-good', path: chat, body: hello, stranger: { ...hello, model: 'no' } },
    error: (status: number) => ({
      object: 'error',
      ...{ ...vllmFields(status), error: vllmFields(status) },
    }),
    statuses: {},
  },
  gigarouter: {
    ...{ key: 'gr-good', path: chat, body: hello, stranger: { ...hello, model: 'no' } },
    error: () => ({ error: expect.objectContaining({ code: text, message: text }) as unknown }),
    statuses: {},
  },
  segmind: {
    ...{ key: 'SG_good', path: '/v1/qwen2p5-vl-3b-instruct', body: hello, stranger: null },
    error: () => ({ error: text }),
    // Only those that the service documents.
    statuses: { 413: 400, 415: 400 } as Record<number, number>,
  },
  runware: {
    ...{ key: 'rw-good', path: '/v1', body: [caption()] },
    stranger: [{ taskType: 'getResponse', taskUUID: crypto.randomUUID() }],
    error: () => ({ errors: [expect.objectContaining({ code: text, message: text })] }),
    statuses: { 413: 400, 415: 400 } as Record<number, number>,
  },
};
type Dialect = (typeof dialects)[keyof typeof dialects];

const bodyBytesMax = 2000;
const served = async (script = () => textScript(['a'])): Promise<FakeWorker> => {
  const keys = Object.values(dialects).map(async ({ key }) => ({
    ...{ name: key, sha256: await sha256Hex(key), requestsPerMinute: 1 },
  }));
  return fakeWorker({ keys: await Promise.all(keys), limits: { bodyBytesMax } }, script);
};
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe('Errors: 400/401/404/405/413/415/429/500 in each dialect; error inside stream', () => {
  type Asking = (worker: FakeWorker, dialect: Dialect) => Promise<Response>;
  const post =
    (body: (dialect: Dialect) => unknown, more: Record<string, string> = {}): Asking =>
    (worker, dialect) =>
      worker.post(dialect.path, body(dialect), { headers: { ...bearer(dialect.key), ...more } });
  const good = post(({ body }) => body);
  const askings: [number, Asking][] = [
    [400, post(() => '{"')],
    [
      401,
      (worker, { path, body, key }) =>
        worker.post(path, body, { headers: bearer(`${key.slice(0, 3)}wrong`) }),
    ],
    [
      404,
      (worker, dialect) =>
        dialect.stranger
          ? post(({ stranger }) => stranger)(worker, dialect)
          : worker.post('/v1/qwen9', hello, { headers: bearer(dialect.key) }),
    ],
    [405, (worker, { path, key }) => worker.get(path, bearer(key))],
    [413, post(() => ' '.repeat(bodyBytesMax + 1))],
    [415, post(({ body }) => body, { 'content-type': 'text/plain' })],
    [
      429,
      async (worker, dialect) => {
        expect((await good(worker, dialect)).status).toBe(200);
        const more =
          dialect.path === '/v1' ? { ...dialect, body: [caption()] as unknown } : dialect;
        return good(worker, more as Dialect);
      },
    ],
  ];

  describe.each(Object.entries(dialects))('%s', (_, dialect: Dialect) => {
    const { error, statuses } = dialect;
    it.each(askings)('%i', async (status, asking) => {
      const reply = await asking(await served(), dialect);
      const theirs = (statuses as Record<number, number>)[status] ?? status;
      expect(reply.status).toBe(theirs);
      expect(reply.headers.get('content-type')).toBe('application/json');
      expect(await reply.json()).toMatchObject(error(theirs));
      if (status === 429) expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    });
    it('500', async () => {
      const reply = await good(await served(() => ['trap']), dialect);
      expect(reply.status).toBe(500);
      expect(await reply.json()).toMatchObject(error(500));
    });
  });

  it.each([dialects.vllm, dialects.gigarouter, dialects.segmind])(
    'inside a stream at $path of $key',
    async (dialect) => {
      const begun = textScript(['a']).slice(0, 2);
      const worker = await served(() => [...begun, 'trap']);
      const reply = await post(({ body }) => ({ ...body, stream: true }))(worker, dialect);
      expect(reply.status).toBe(200);
      const events = (await reply.text()).split('\n\n');
      expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
      const failed = JSON.parse((events.at(-3) as string).slice('data: '.length)) as object;
      expect(failed).toEqual({ error: vllmFields(500) });
    },
  );
});

/** line -> the file of its tests, where all of it is one; else its parts, each with the file that names it. */
const lines: Record<string, string | [part: string, file: string][]> = {
  'Tokeniser/template golden tests: 174/23/26/218/261 (Qwen template), 293/202/194/336/377 (hermes), completion 20':
    'js/checklist/prompts.ts',
  'Byte test of a non-stream reply’s key set and order against both seed replies (2.3)':
    'js/checklist/replies.ts',
  'SSE byte tests: LF only, `data: ` prefix, finish_reason on every chunk, usage chunk only on request, `[DONE]`':
    'js/checklist/replies.ts',
  'One tool-call element per chunk; id+type+name once; `{}` for no-arg calls; concat(stream)==full for random chunking 1..8 tokens and for partial tags/UTF-8':
    'js/checklist/tools.ts',
  'History replay: `tool_calls:[]`, `tool_calls:null`, `content:null`, `arguments:""`, several tool results, `developer` role, list content in every role':
    'js/checklist/prompts.ts',
  'Tools: no description, no parameters, nullable types, `$ref`, `strict`, 0 tools, duplicate names; tool_choice null/none/auto/required/named/unknown':
    'js/checklist/tools.ts',
  'Sampling: temperature 0 determinism, seed determinism, n>1 order by index, stop string spanning tokens, stop_token_ids integer stop_reason, min_tokens, logit_bias ±100, logprobs incl. eos, prompt_logprobs first null':
    'js/checklist/sampling.ts',
  'Images: data URI with/without extra params, uppercase scheme, png/jpeg/webp/gif, alpha, EXIF, 1×1, ratio >200, multiple images, image_url as bare string, missing file, non-image bytes, 404/timeouts → 400 with cause':
    'js/checklist/images.ts',
  'Errors: 400/401/404/405/413/415/429/500 in each dialect; error inside stream':
    'worker/checklist.test.ts',
  Runware: [
    ...[
      'HTTP auth',
      'batch with partial failure',
      'async + getResponse repeated',
      'webhook retry',
      'idempotent taskUUID',
      'prompt array',
      'inputImage/inputImages/inputs.image',
      'imageUpload task',
      '`caption` and `imageCaption`',
    ].map((part): [string, string] => [`Runware: ${part}`, 'worker/runware.test.ts']),
    ['Runware: WS auth', 'worker/sockets.test.ts'],
    ['Runware: ping', 'worker/sockets.test.ts'],
  ],
  Segmind: ['both auth headers', 'string errors', 'slug'].map((part): [string, string] => [
    `Segmind: ${part}`,
    'worker/segmind.test.ts',
  ]),
  Azion: [
    [
      'Azion: `Azion.AI.run` inside @edge-runtime/vm and primitives 4.0.5',
      'runtimes/edge_vm.test.ts',
    ],
    [
      'Azion: merge with existing `globalThis.Azion`; JSON.stringify(result); `return result` for stream; for-await; `.json()`',
      'js/checklist/azion.ts',
    ],
  ],
  // Each is asked for all of tests/clients/columns.mjs.
  'Clients of §7 on Node 20 with the pinned versions': [
    ['openai', 'clients/openai.test.mjs'],
    ['ai, @ai-sdk/openai-compatible', 'clients/ai_sdk.test.mjs'],
    ['@langchain/openai', 'clients/langchain.test.mjs'],
    ['azion/ai', 'clients/azion.test.mjs'],
    ['@runware/sdk-js', 'clients/runware.test.mjs'],
    ['@openai/agents', 'clients/agents.test.mjs'],
    ['@instructor-ai/instructor', 'clients/instructor.test.mjs'],
  ],
};

it.each(Object.entries(lines))('the line %s has its tests', (line, where) => {
  const parts = typeof where === 'string' ? [[line, where] as const] : where;
  for (const [title, file] of parts) {
    const source = readFileSync(join(root, 'tests', file), 'utf8').replace(/\(\s+'/g, "('");
    expect(source.includes(`('${title}`), `${file} names ${title}`).toBe(true);
  }
});
