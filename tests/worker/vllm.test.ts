// vLLM's utility routes, and the list of models.
import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { chat, fakeWorker, hello } from './fake_worker.ts';

describe('models', () => {
  it('are listed as cards, and one by one', async () => {
    const worker = fakeWorker({ clock: () => 1_746_821_581_000 });
    const list = (await (await worker.get('/v1/models')).json()) as { data: object[] };
    const card = {
      ...{ id: 'fake-model', object: 'model', created: 1_746_821_581, root: 'fake-model' },
      owned_by: 'vllm',
      ...{ parent: null, max_model_len: 4096 },
    };
    expect(list).toMatchObject({ object: 'list', data: [card] });
    expect(Object.keys(list.data[0] as object)).toEqual([
      'id',
      'object',
      'created',
      'owned_by',
      'root',
      'parent',
      'max_model_len',
      'permission',
    ]);
    for (const id of ['fake-model', 'Qwen/Qwen2.5-VL-3B-Instruct', 'runware:152@1']) {
      for (const spelled of [id, encodeURIComponent(id)]) {
        const one = await worker.get(`/v1/models/${spelled}`);
        expect(await one.json(), spelled).toMatchObject({ ...card, id, root: id });
      }
    }
    expect((await worker.get('/v1/models/nope')).status).toBe(404);
  });

  it('are named as the server was told', async () => {
    const worker = fakeWorker({ models: ['mine', 'other'], ai: { models: ['mine', 'other'] } });
    const list = (await (await worker.get('/v1/models')).json()) as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id)).toEqual(['mine', 'other']);
    expect(await (await worker.post(chat, { ...hello, model: 'mine' })).json()).toMatchObject({
      model: 'mine',
    });
  });
});

describe('the utility routes', () => {
  it('are there by GET and POST, and tell the version of the package', async () => {
    const worker = fakeWorker();
    const health = await worker.get('/health');
    expect([await health.text(), health.headers.get('content-length')]).toEqual(['', '0']);
    expect((await worker.post('/ping', '')).status).toBe(200);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(await (await worker.get('/version')).json()).toEqual({ version });
  });

  it('mean the same with a slash at the end', async () => {
    const worker = fakeWorker();
    expect(await (await worker.post(`${chat}/`, hello)).json()).toMatchObject({
      object: 'chat.completion',
    });
    expect(await (await worker.get('/v1/models/')).json()).toMatchObject({ object: 'list' });
    const wrong = await worker.get(`${chat}/`);
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST']);
    const tasks = await worker.post('/v1/', [{ taskType: 'ping', ping: true }]);
    expect(await tasks.json()).toEqual({ data: [{ taskType: 'ping', pong: true }] });
    expect((await worker.get('/nowhere/')).status).toBe(404);
  });

  it('say 503 while the model is being loaded', async () => {
    const worker = fakeWorker();
    const opened = worker.open();
    expect((await worker.get('/health')).status).toBe(503);
    await opened;
    expect((await worker.get('/health')).status).toBe(200);
  });

  it('count tokens and requests under the names of vLLM', async () => {
    const worker = fakeWorker();
    await worker.post(chat, { ...hello, max_tokens: 7 });
    const reply = await worker.get('/metrics');
    expect(reply.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await reply.text();
    for (const line of [
      'vllm:num_requests_running{model_name="fake-model"} 0',
      'vllm:prompt_tokens_total{model_name="fake-model"} 9',
      'vllm:generation_tokens_total{model_name="fake-model"} 3',
      'vllm:request_success_total{model_name="fake-model",finished_reason="stop"} 1',
      'vllm:request_prompt_tokens_bucket{model_name="fake-model",le="5"} 0',
      'vllm:request_prompt_tokens_bucket{model_name="fake-model",le="10"} 1',
      'vllm:request_prompt_tokens_bucket{model_name="fake-model",le="+Inf"} 1',
      'vllm:e2e_request_latency_seconds_count{model_name="fake-model"} 1',
      'vllm:request_inference_time_seconds_count{model_name="fake-model"} 1',
      'vllm:request_max_num_generation_tokens_sum{model_name="fake-model"} 3',
      'vllm:request_params_n_sum{model_name="fake-model"} 1',
      'vllm:request_params_max_tokens_sum{model_name="fake-model"} 7',
      'vllm:num_preemptions_total{model_name="fake-model"} 0',
      '# TYPE vllm:num_preemptions_total counter',
      'vllm:gpu_prefix_cache_queries_total{model_name="fake-model"} 0',
      'vllm:gpu_prefix_cache_hits_total{model_name="fake-model"} 0',
      'vllm:spec_decode_num_draft_tokens_total{model_name="fake-model"} 5',
      'vllm:spec_decode_num_accepted_tokens_total{model_name="fake-model"} 3',
      '# TYPE vllm:spec_decode_num_accepted_tokens_total counter',
      'vllm:cache_config_info{model_name="fake-model",num_gpu_blocks="0"} 1',
    ])
      expect(text.split('\n')).toContain(line);
    // Every line is a comment or name{labels} number.
    const form =
      /^(# (HELP|TYPE) \S+ .+|[a-z0-9_:]+\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\} -?[\d.e+-]+)$/;
    for (const line of text.trimEnd().split('\n')) expect(line).toMatch(form);
  });
});

describe('tokens', () => {
  it('of a prompt and of a chat are told, and text of tokens', async () => {
    const worker = fakeWorker();
    const ask = async (body: unknown) => (await worker.post('/tokenize', body)).json();
    expect(await ask({ prompt: 'Hi' })).toEqual({
      count: 3,
      max_model_len: 4096,
      tokens: [72, 105, 1],
    });
    expect(await ask(hello)).toEqual({ count: 2, max_model_len: 4096, tokens: [5, 6] });
    expect(JSON.parse(worker.core.opened[0] as string)).toMatchObject({ tokenize_only: true });
    const back = await worker.post('/detokenize', { tokens: [72, 105] });
    expect(await back.json()).toEqual({ prompt: 'Hi' });
  });

  it('are those of a model that is there', async () => {
    for (const [path, body] of [
      ['/tokenize', { prompt: 'Hi' }],
      ['/tokenize', hello],
      ['/detokenize', { tokens: [72] }],
    ] as const) {
      expect((await fakeWorker().post(path, { ...body, model: 'no' })).status).toBe(404);
      for (const model of ['fake-model', '', null, 'runware:152@1'])
        expect((await fakeWorker().post(path, { ...body, model })).status).toBe(200);
    }
  });

  it.each([
    ['/tokenize', {}, /^prompt: /],
    ['/tokenize', { messages: 1 }, /^messages: /],
    ['/tokenize', { messages: [] }, /^messages: /],
    ['/tokenize', { ...hello, model: 3 }, /^model: /],
    ['/detokenize', { tokens: ['a'] }, /^tokens.0: /],
    ['/detokenize', {}, /^tokens: /],
  ])('at %s refuse %j', async (path, body, message) => {
    const reply = await fakeWorker().post(path, body);
    expect(reply.status).toBe(400);
    expect(((await reply.json()) as { message: string }).message).toMatch(message);
  });
});
