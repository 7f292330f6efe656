// The OpenAPI document: it describes the routes there are, its references hold, and its schemas say what the core says.
import { describe, expect, it } from 'vitest';
import { createAI } from '../../js/ai.ts';
import { OcelliError } from '../../js/errors.ts';
import { operations } from '../../worker/operations.ts';
import {
  chatBody,
  chatChunk,
  chatReply,
  errorReply,
  modelList,
  tokenizeReply,
} from '../../worker/schemas.ts';
import { chat, fakeWorker, hello } from './fake_worker.ts';

const worker = fakeWorker();
const document = (await (await worker.get('/openapi.json')).json()) as {
  openapi: string;
  paths: Record<string, Record<string, object>>;
  components: { schemas: Record<string, object> };
};

describe('the document', () => {
  it('is OpenAPI 3.1, and all that it refers to is there', () => {
    expect(document.openapi).toBe('3.1.0');
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g)].map(
      ([, ref]) => ref!,
    );
    expect(refs.length).toBeGreaterThan(20);
    const names = Object.keys(document.components.schemas);
    for (const ref of refs) expect(names).toContain(ref.replace('#/components/schemas/', ''));
    expect(JSON.stringify(document)).not.toContain('"$id"');
  });

  it('describes only what is there', async () => {
    for (const { method, path } of operations) {
      const init = { method: method.toUpperCase() };
      const reply = await worker.fetch(
        new Request(`http://host${path.replace('{id}', 'fake-model')}`, init),
      );
      expect([404, 405], `${method} ${path}`).not.toContain(reply.status);
    }
  });

  it('describes every route of vLLM', () => {
    const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    for (const path of ['/v1/chat/completions', '/tokenize', '/detokenize', '/ping'])
      expect(described).toContain(`POST ${path}`);
    for (const path of [
      '/v1/models',
      '/v1/models/{id}',
      '/health',
      '/ping',
      '/version',
      '/load',
      '/metrics',
    ])
      expect(described).toContain(`GET ${path}`);
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
