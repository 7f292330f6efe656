// The OpenAPI document: it describes the routes there are, its references hold, and its schemas say what the core says.
import { describe, expect, it } from 'vitest';
import { createAI } from '../../js/ai.ts';
import { OcelliError } from '../../js/errors.ts';
import { adapterOperations, operations } from '../../worker/operations.ts';
import {
  chatBody,
  chatChunk,
  chatReply,
  errorReply,
  completionChunk,
  completionReply,
  modelList,
  segmindError,
  segmindReply,
  tokenizeReply,
} from '../../worker/schemas.ts';
import { taskFailures, taskList, taskResults } from '../../worker/runware/tasks.ts';
import { caption } from './runware_tasks.ts';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const worker = fakeWorker();
const whole = (await (await worker.get('/openapi.json')).json()) as {
  openapi: string;
  paths: Record<string, Record<string, object>>;
  components: { schemas: Record<string, object> };
};

describe('the document', () => {
  it('is OpenAPI 3.1, and all that it refers to is there', () => {
    expect(whole.openapi).toBe('3.1.0');
    const refs = [...JSON.stringify(whole).matchAll(/"\$ref":"([^"]*)"/g)].map(([, ref]) => ref!);
    expect(refs.length).toBeGreaterThan(20);
    const names = Object.keys(whole.components.schemas);
    for (const ref of refs) expect(names).toContain(ref.replace('#/components/schemas/', ''));
    expect(JSON.stringify(whole)).not.toContain('"$id"');
  });

  it.each([
    [worker, operations],
    [fakeWorker({ runtimeAdapters: true }), [...operations, ...adapterOperations]],
  ])('describes what is there, and all of it', async ({ app, get }, all) => {
    const described = all.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    const document = (await (await get('/openapi.json')).json()) as typeof whole;
    expect(
      Object.entries(document.paths)
        .flatMap(([path, methods]) =>
          Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
        )
        .sort(),
    ).toEqual([...described].sort());
    // One route takes all of Segmind's slugs; what is not described is the description, and a route's other name.
    const there = app.routes
      .filter(({ method }) => method !== 'ALL')
      .flatMap(({ method, path }) => {
        const [, before, names] = /^(.*):slug\{(.*)\}$/.exec(path) ?? [];
        const paths = names?.split('|').map((name) => `${before}${name}`) ?? [path];
        return paths.map((one) => `${method} ${one.replace(/:(\w+)(\{.*\})?/, '{$1}')}`);
      });
    const untold = /^GET \/(docs|docs\/page\.js|openapi\.json)$|^POST \/chat\/completions$/;
    expect([...new Set(there.filter((route) => !untold.test(route)))].sort()).toEqual(
      [...described].sort(),
    );
  });

  it('has replies as they are', async () => {
    const reply = await worker.post(chat, hello);
    expect(chatReply.parse(await reply.json())).toBeTruthy();
    const stream = await (await worker.post(chat, { ...hello, stream: true })).text();
    const events = stream.split('\n\n').filter((line) => line.startsWith('data: {'));
    expect(events.length).toBe(4);
    for (const event of events) chatChunk.parse(JSON.parse(event.slice(6)));
    modelList.parse(await (await worker.get('/v1/models')).json());
    tokenizeReply.parse(await (await worker.post('/tokenize', { prompt: 'a' })).json());
    errorReply.parse(await (await worker.post(chat, '[]')).json());
    const text = { prompt: 'Once' };
    completionReply.parse(await (await worker.post('/v1/completions', text)).json());
    const chunks = await (await worker.post('/v1/completions', { ...text, stream: true })).text();
    for (const event of chunks.split('\n\n').filter((line) => line.startsWith('data: {')))
      completionChunk.parse(JSON.parse(event.slice(6)));
    const slug = '/v1/qwen2p5-vl-3b-instruct';
    segmindReply.parse(await (await worker.post(slug, hello)).json());
    segmindError.parse(await (await worker.post(slug, '[]')).json());
    const tasks = taskList.parse([caption()]);
    taskResults.parse(await (await worker.post('/v1', tasks)).json());
    taskFailures.parse(await (await worker.post('/v1', [{ taskType: 'no' }])).json());
  });
});

describe('the schema of a chat', () => {
  const ai = createAI();
  /** What the core says: null, or the parameter it names. */
  const core = (body: object): Promise<string | null> =>
    ai.run(null, { ...hello, max_tokens: 1, ...body }).then(
      () => null,
      (error: unknown) =>
        error instanceof OcelliError ? (error.param ?? error.message) : String(error),
    );

  it.each([
    { temperature: 0 },
    { temperature: 2.5 },
    { temperature: -0.1 },
    { temperature: 'hot' },
    { temperature: null },
    { top_p: 1 },
    { top_p: 0 },
    { top_p: 1.01 },
    { top_k: -1 },
    { top_k: -2 },
    { top_k: 1.5 },
    { min_p: 1 },
    { min_p: 1.1 },
    { presence_penalty: 2 },
    { presence_penalty: 2.1 },
    { frequency_penalty: -2.1 },
    { repetition_penalty: 0 },
    { repetition_penalty: 1.1 },
    { max_tokens: 0 },
    { max_completion_tokens: 0 },
    { min_tokens: -1 },
    { n: 0 },
    { n: 65, temperature: 1 },
    { logprobs: true, top_logprobs: 20 },
    { logprobs: true, top_logprobs: 21 },
    { logprobs: 1 },
    { stop: 'a' },
    { stop: ['a', 3] },
    { stop_token_ids: [1] },
    { stop_token_ids: [-1] },
    { messages: [] },
    { messages: 'hi' },
    { tools: [{ type: 'function', function: {} }] },
    { tools: null },
    { chat_template: 'llama' },
    { stream_options: null },
    { seed: 7 },
    { whatever: [1] },
  ])('agrees with the core on %j', async (body) => {
    const { success } = chatBody.safeParse({ ...hello, ...body });
    expect({ accepted: success, core: await core(body) }).toMatchObject({
      accepted: success,
      core: success ? null : expect.any(String),
    });
  });
});

describe('the page', () => {
  it('is a page that takes nothing from elsewhere', async () => {
    const page = await worker.get('/docs');
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'/);
    const html = await page.text();
    const named = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, name]) => name!);
    expect(named).toEqual(['/openapi.json', '/docs/page.js']);
    for (const name of named) expect((await worker.get(name)).status, name).toBe(200);
  });
});
