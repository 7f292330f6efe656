// Runware's dialect over HTTP. The words before each colon are those of the compatibility list.
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../../worker/keys.ts';
import { settled } from '../js/fake_ai.ts';
import { textScript } from '../js/fake_core.ts';
import { fakeWorker } from './fake_worker.ts';
import { caption, model, picture, poll, send, uuid } from './runware_tasks.ts';

const key = 'rw-0123456789abcdef';
const keyed = async (more: object = {}) =>
  fakeWorker({ keys: [{ name: 'one', sha256: await sha256Hex(key), ...more }] });
const bearer = { authorization: `Bearer ${key}` };
const text = expect.any(String) as string;

/** Requests that go on until told, then answer. */
function gate() {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

describe('Runware: HTTP auth', () => {
  it('by a bearer key, and by an authentication task that is not answered itself', async () => {
    const worker = await keyed();
    expect(await send(worker, [caption()], bearer)).toMatchObject({ status: 200 });
    const authentication = { taskType: 'authentication', apiKey: key };
    const task = caption();
    expect(await send(worker, [authentication, task])).toEqual({
      status: 200,
      data: [{ taskType: 'caption', taskUUID: task['taskUUID'], text: 'Hello' }],
    });
  });

  it.each([
    ['none', [caption()], {}, 'missingApiKey'],
    ['a wrong bearer', [caption()], { authorization: 'Bearer x' }, 'invalidApiKey'],
    [
      'a wrong one',
      [{ taskType: 'authentication', apiKey: 'x' }, caption()],
      bearer,
      'invalidApiKey',
    ],
    ['no text', [{ taskType: 'authentication', apiKey: 1 }, caption()], {}, 'invalidApiKey'],
  ])('with %s is 401', async (_, tasks, headers, code) => {
    const reply = await send(await keyed(), tasks, headers as Record<string, string>);
    expect(reply).toEqual({ status: 401, errors: [{ code, message: text, parameter: 'apiKey' }] });
  });
});

describe('Runware: `caption` and `imageCaption`', () => {
  it.each(['/v1', '/'])('answer at %s with the documented keys in their order', async (path) => {
    const worker = fakeWorker();
    const taskUUID = '74c7c126-bc3d-4e55-b8fa-36e20e2a4e62';
    const reply = await worker.post(path, [caption({ taskUUID })]);
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await reply.text()).toBe(
      `{"data":[{"taskType":"caption","taskUUID":"${taskUUID}","text":"Hello"}]}`,
    );
  });

  it('the older spelling is echoed, and needs no model', async () => {
    const task = caption({ taskType: 'imageCaption', model: undefined });
    const reply = await send(fakeWorker(), [task]);
    expect(reply.data).toMatchObject([{ taskType: 'imageCaption', text: 'Hello' }]);
  });

  it('includeCost: a number of dollars', async () => {
    const worker = fakeWorker({ usdPerMillionTokens: 25 });
    const reply = await send(worker, [caption({ includeCost: true }), caption()]);
    expect(reply.data?.map(({ cost }) => cost)).toEqual([0.0003, undefined]);
    const free = await send(fakeWorker(), [caption({ includeCost: true })]);
    expect(free.data?.[0]?.['cost']).toBe(0);
  });

  it('fields of media are accepted, as is whatever is unknown', async () => {
    const media = { outputType: 'URL', outputFormat: 'PNG', outputQuality: 20, ttl: 60 };
    const reply = await send(fakeWorker(), [caption({ ...media, template: 'x', other: null })]);
    expect(reply.status).toBe(200);
  });
});

describe('Runware: prompt array', () => {
  const asked = async (more: object): Promise<string> => {
    const worker = fakeWorker();
    await send(worker, [caption(more)]);
    const body = JSON.parse(worker.core.opened[0]!) as {
      messages: { content: { text?: string }[] }[];
    };
    return body.messages[0]!.content.at(-1)!.text!;
  };
  it.each([
    ['is joined', { prompt: ['Look.', 'What?'] }, 'Look.\nWhat?'],
    ['or a text is asked', { prompt: 'What?' }, 'What?'],
    ['may be inside inputs', { prompt: null, inputs: { image: picture, prompt: 'In' } }, 'In'],
    ['left out asks for a description', { prompt: undefined }, 'Describe this image.'],
  ])('%s', async (_, more, prompt) => {
    expect(await asked(more)).toBe(prompt);
  });
});

describe('Runware: inputImage/inputImages/inputs.image', () => {
  it.each([
    ['inputs.image', { inputs: { image: picture } }, 1],
    ['inputImage', { inputs: undefined, inputImage: picture }, 1],
    ['inputImages', { inputs: undefined, inputImages: [picture, picture] }, 2],
    ['bare base64', { inputs: { image: picture.slice(picture.indexOf(',') + 1) } }, 1],
  ])('%s', async (_, more, count) => {
    const worker = fakeWorker();
    expect(await send(worker, [caption(more)])).toMatchObject({ status: 200 });
    expect(worker.core.media.map((bytes) => bytes[1])).toEqual(Array(count).fill(0x50));
  });

  it('a URL is fetched', async () => {
    const asked: string[] = [];
    const imageFetch = async (url: unknown): Promise<Response> => {
      asked.push(String(url));
      return new Response('bytes');
    };
    const worker = fakeWorker({ ai: { imageFetch: imageFetch as typeof fetch } });
    const image = 'https://assets.example.com/a.jpg';
    expect(await send(worker, [caption({ inputs: { image } })])).toMatchObject({ status: 200 });
    expect(asked).toEqual([image]);
  });

  it('one that cannot be fetched is downloadFailed, which clients try again', async () => {
    const imageFetch = async (): Promise<Response> => new Response('none', { status: 404 });
    const worker = fakeWorker({ ai: { imageFetch: imageFetch as typeof fetch } });
    const image = 'https://assets.example.com/none.jpg';
    expect(await send(worker, [caption({ inputs: { image } })])).toMatchObject({
      status: 500,
      errors: [{ code: 'downloadFailed', message: expect.stringMatching(/HTTP status 404/) }],
    });
  });

  it.each([
    ['file:///etc/passwd', /^inputs\.image: file: is not http:, https: or data:$/],
    ['!!!', /^inputs\.image: .*not base64/],
    [uuid(), /^inputs\.image: there is no image [0-9a-f-]{36}$/],
  ])('%s is invalidImage', async (image, message) => {
    const task = caption({ inputs: { image } });
    expect(await send(fakeWorker(), [task])).toEqual({
      status: 400,
      errors: [
        {
          code: 'invalidImage',
          message: expect.stringMatching(message) as string,
          parameter: 'inputs.image',
          taskType: 'caption',
          taskUUID: task['taskUUID'],
        },
      ],
    });
  });
});

describe('Runware: imageUpload task', () => {
  it('keeps an image that its UUID and its URL then name', async () => {
    const worker = fakeWorker();
    const task = { taskType: 'imageUpload', taskUUID: uuid(), image: picture };
    const { data: [uploaded = {}] = [] } = await send(worker, [task]);
    expect(Object.keys(uploaded)).toEqual(['taskType', 'taskUUID', 'imageUUID', 'imageURL']);
    const [id, url] = [uploaded['imageUUID'] as string, uploaded['imageURL'] as string];
    expect(url).toBe(`http://host/v1/images/${id}`);
    const served = await worker.fetch(new Request(url));
    expect(served.headers.get('content-type')).toBe('image/png');
    expect((await served.arrayBuffer()).byteLength).toBe(12);
    for (const image of [id, url])
      expect(await send(worker, [caption({ inputs: { image } })])).toMatchObject({ status: 200 });
    expect(worker.core.media.length).toBe(2);
    expect((await worker.get(`/v1/images/${uuid()}`)).status).toBe(404);
  });

  it('refuses what is no image', async () => {
    const task = { taskType: 'imageUpload', taskUUID: uuid(), image: btoa('nothing') };
    expect(await send(fakeWorker(), [task])).toMatchObject({
      status: 400,
      errors: [{ code: 'invalidImage', parameter: 'image' }],
    });
  });
});

describe('Runware: batch with partial failure', () => {
  it('has data and errors, each in the order of its tasks', async () => {
    const tasks = [caption(), caption({ model: 'x@1' }), caption(), { taskType: 'dance' }];
    expect(await send(fakeWorker(), tasks)).toEqual({
      status: 200,
      data: [
        { taskType: 'caption', taskUUID: tasks[0]!['taskUUID'], text: 'Hello' },
        { taskType: 'caption', taskUUID: tasks[2]!['taskUUID'], text: 'Hello' },
      ],
      errors: [
        {
          ...{ code: 'unsupportedModel', message: 'The model `x@1` does not exist.' },
          ...{ parameter: 'model', taskType: 'caption', taskUUID: tasks[1]!['taskUUID'] },
        },
        {
          ...{ code: 'unsupportedTaskType', message: text, parameter: 'taskType' },
          taskType: 'dance',
        },
      ],
    });
  });
});

describe('Runware: errors', () => {
  it.each([
    ['no taskType', [{}], 'missingTaskType', 'taskType'],
    ['no object', [7], 'invalidTask', undefined],
    ['no array', caption(), 'invalidRequest', undefined],
    ['no task', [], 'missingTask', undefined],
    ['no JSON', '[', 'invalidJson', undefined],
    ['too many tasks', Array(65).fill(caption()), 'maxTasks', undefined],
    ['no taskUUID', [caption({ taskUUID: undefined })], 'missingTaskUUID', 'taskUUID'],
    ['a taskUUID that is none', [caption({ taskUUID: 'x' })], 'invalidTaskUUID', 'taskUUID'],
    ['no model', [caption({ model: undefined })], 'missingModel', 'model'],
    ['no image', [caption({ inputs: {} })], 'missingImage', 'inputs.image'],
    ['a video', [caption({ inputs: { video: 'x' } })], 'unsupportedVideo', 'inputs.video'],
    [
      'an image that is no text',
      [caption({ inputs: { image: 1 } })],
      'invalidImage',
      'inputs.image',
    ],
    ['a prompt that is none', [caption({ prompt: 7 })], 'invalidPrompt', 'prompt'],
    [
      'an unknown way',
      [caption({ deliveryMethod: 'x' })],
      'invalidDeliveryMethod',
      'deliveryMethod',
    ],
    ['a webhook that is no URL', [caption({ webhookURL: 'x' })], 'invalidWebhookURL', 'webhookURL'],
    ['a short ttl', [caption({ ttl: 59 })], 'invalidTtl', 'ttl'],
    ['an output type', [caption({ outputType: 'x' })], 'invalidOutputType', 'outputType'],
  ])('%s is 400', async (_, tasks, code, parameter) => {
    const reply = await send(fakeWorker(), tasks);
    expect([reply.status, reply.data]).toEqual([400, undefined]);
    expect(reply.errors).toMatchObject([{ code, message: text, ...(parameter && { parameter }) }]);
  });

  it('402 without credits, 429 beyond the rate, 500 for a trap, 503 when it ends', async () => {
    const poor = await send(await keyed({ credits: 0 }), [caption()], bearer);
    expect(poor).toMatchObject({ status: 402, errors: [{ code: 'insufficientCredits' }] });
    const quick = await keyed({ requestsPerMinute: 1 });
    await send(quick, [caption()], bearer);
    const response = await quick.post('/v1', [caption()], { headers: bearer });
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '60']);
    expect(await response.json()).toMatchObject({ errors: [{ code: 'rateLimitExceeded' }] });
    const trap = await send(
      fakeWorker({}, () => ['trap']),
      [caption()],
    );
    expect(trap).toMatchObject({ status: 500, errors: [{ code: 'inferenceError' }] });
    const ended = fakeWorker();
    await ended.close();
    expect(await send(ended, [caption()])).toMatchObject({
      status: 503,
      errors: [{ code: 'serviceUnavailable' }],
    });
  });

  it('another method is 405, another type 400', async () => {
    const wrong = await fakeWorker().get('/v1');
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST']);
    const typed = await send(fakeWorker(), '[]', { 'content-type': 'text/plain' });
    expect(typed).toMatchObject({ status: 400, errors: [{ code: 'invalidContentType' }] });
  });
});

describe('Runware: async + getResponse repeated', () => {
  it('is acknowledged, then processing, then there as often as it is asked for', async () => {
    const { open, opened } = gate();
    const worker = fakeWorker();
    const run = worker.context.ai.run.bind(worker.context.ai);
    Object.assign(worker.context.ai, {
      run: async (...words: Parameters<typeof run>) => (await opened, run(...words)),
    });
    const task = caption({ deliveryMethod: 'async', includeCost: true });
    const { taskUUID } = task;
    const ask = { taskType: 'getResponse', taskUUID };
    expect(await send(worker, [task])).toEqual({
      status: 200,
      data: [{ taskType: 'caption', taskUUID }],
    });
    const processing = { taskType: 'caption', taskUUID, status: 'processing' };
    expect((await send(worker, [ask])).data).toEqual([processing]);
    open();
    const done = {
      status: 200,
      data: [{ taskType: 'caption', taskUUID, status: 'success', text: 'Hello', cost: 0 }],
    };
    expect(await poll(worker, taskUUID)).toEqual(done);
    expect(await send(worker, [ask])).toEqual(done);
    expect((await send(worker, [ask, ask])).data?.length).toBe(2);
  });

  it('a failure is an error with its status', async () => {
    const worker = fakeWorker();
    const task = caption({ deliveryMethod: 'async', model: 'x@1' });
    await send(worker, [task]);
    expect(await poll(worker, task['taskUUID'])).toEqual({
      status: 200,
      data: [],
      errors: [
        {
          ...{ code: 'unsupportedModel', message: text, parameter: 'model', taskType: 'caption' },
          ...{ taskUUID: task['taskUUID'], status: 'error' },
        },
      ],
    });
  });

  it('an unknown task is 404, and so is another key’s, and one whose time is over', async () => {
    let now = 0;
    const other = 'rw-other';
    const keys = [
      { name: 'one', sha256: await sha256Hex(key) },
      { name: 'two', sha256: await sha256Hex(other) },
    ];
    const worker = fakeWorker({ keys, clock: () => now });
    const missing = { status: 404, errors: [{ code: 'taskFailedOrNotFound' }] };
    expect(await poll(worker, uuid(), bearer)).toMatchObject(missing);
    const task = caption({ deliveryMethod: 'async', ttl: 60 });
    await send(worker, [task], bearer);
    expect(await poll(worker, task['taskUUID'], bearer)).toMatchObject({ status: 200 });
    const theirs = await poll(worker, task['taskUUID'], { authorization: `Bearer ${other}` });
    expect(theirs).toMatchObject(missing);
    now = 60_000;
    expect(await poll(worker, task['taskUUID'], bearer)).toMatchObject(missing);
  });

  it('takes on no more than it may have, and refuses nobody for a full queue', async () => {
    const limits = { tasksMax: 20, runningMax: 1, waitingMax: 0, deliveryPauseMs: 1 };
    // The first one to be computed does not end before all have been sent.
    const held = textScript(['Hel', 'lo']);
    held.splice(1, 0, 'forever');
    let begun = 0;
    const worker = fakeWorker({ limits }, () => (begun++ === 0 ? held : textScript(['Hel', 'lo'])));
    const tasks = Array.from({ length: 20 }, () => caption({ deliveryMethod: 'async' }));
    const more = caption({ deliveryMethod: 'async' });
    const reply = await send(worker, [...tasks, more]);
    expect(reply.data?.length).toBe(20);
    const [refused] = reply.errors ?? [];
    expect(refused).toMatchObject({ code: 'rateLimitExceeded' });
    held[1] = [];
    // Which of them it is depends on whose digest was there last.
    for (const { taskUUID } of [...tasks, more].filter(
      (one) => one['taskUUID'] !== refused?.['taskUUID'],
    ))
      expect((await poll(worker, taskUUID)).data).toMatchObject([{ status: 'success' }]);
  });
});

describe('Runware: idempotent taskUUID', () => {
  it('the same task again gets the same result, and is computed once', async () => {
    const worker = fakeWorker();
    const task = caption();
    const replies = await Promise.all([send(worker, [task]), send(worker, [task])]);
    replies.push(await send(worker, [Object.fromEntries(Object.entries(task).reverse())]));
    for (const reply of replies) expect(reply.data).toMatchObject([{ text: 'Hello' }]);
    expect(worker.core.opened.length).toBe(1);
  });

  it('another task is conflictTaskUUID, while it runs and after', async () => {
    const worker = fakeWorker();
    const task = caption();
    const other = { ...task, prompt: 'Something else' };
    const conflict = [{ code: 'conflictTaskUUID', taskUUID: task['taskUUID'] }];
    const [first, second] = await Promise.all([send(worker, [task]), send(worker, [other])]);
    expect([first.status, second.status].sort()).toEqual([200, 400]);
    expect([...(first.errors ?? []), ...(second.errors ?? [])]).toMatchObject(conflict);
    const later = await send(worker, [{ ...task, prompt: 'A third' }]);
    expect(later).toMatchObject({ status: 400, errors: conflict });
  });

  it('a sync task that failed may be tried again', async () => {
    let calls = 0;
    const long = { status: 104, code: 'context_length_exceeded', http: 400, param: 'messages' };
    const error = [{ type: 'error' as const, message: 'too long', ...long }];
    const worker = fakeWorker({}, () => (calls++ === 0 ? [error] : textScript(['Again'])));
    const task = caption();
    const failed = await send(worker, [task]);
    expect(failed).toMatchObject({ status: 400, errors: [{ code: 'maxContextLength' }] });
    expect(await send(worker, [task])).toMatchObject({ data: [{ text: 'Again' }] });
  });

  it('a client that leaves ends what nobody else waits for', async () => {
    const forever = () => [textScript([])[0]!, 'forever' as const];
    const worker = fakeWorker({}, forever);
    const [first, second] = [new AbortController(), new AbortController()];
    const task = caption();
    const asked = [first, second].map(({ signal }) => worker.post('/v1', [task], { signal }));
    while (worker.core.steps < 3) await settled();
    first.abort();
    await asked[0];
    expect(worker.core.cancels).toBe(0);
    second.abort();
    await asked[1];
    while (worker.core.requests.size > 0) await settled();
    expect(worker.core.cancels).toBe(1);
  });
});

describe('Runware: webhook retry', () => {
  interface Call {
    url: string;
    method: string | undefined;
    body: unknown;
    type: string | undefined;
  }
  const receiver = (answers: (number | 'error')[]) => {
    const calls: Call[] = [];
    const outbound = async (url: unknown, init: RequestInit = {}): Promise<Response> => {
      const headers = init.headers as Record<string, string>;
      const { method, body } = init;
      calls.push({ url: String(url), method, body, type: headers['content-type'] });
      const status = answers[calls.length - 1] ?? 200;
      if (status === 'error') throw new TypeError('fetch failed');
      return new Response(null, { status });
    };
    return { calls, outbound: outbound as typeof fetch };
  };
  const limits = { deliveryPauseMs: 1, deliveryPauseMsMax: 2, deliveryTries: 4 };
  const webhookURL = 'https://example.com/hook?token=1';

  it('acknowledges, and posts what a sync reply would be until it is taken', async () => {
    const { calls, outbound } = receiver(['error', 500, 301]);
    const worker = fakeWorker({ outbound, limits });
    const task = caption({ webhookURL });
    const { taskUUID } = task;
    expect((await send(worker, [task])).data).toEqual([{ taskType: 'caption', taskUUID }]);
    while (calls.length < 4) await settled();
    expect(calls[3]).toEqual({
      ...{ url: webhookURL, method: 'POST', type: 'application/json' },
      body: `{"data":[{"taskType":"caption","taskUUID":"${String(taskUUID)}","text":"Hello"}]}`,
    });
    await worker.drain(10_000);
    expect(calls.length).toBe(4);
    expect(await worker.context.store.open('task')).toEqual([]);
  });

  it('tells of a failure, and gives up in the end', async () => {
    const { calls, outbound } = receiver([500, 500, 500, 500]);
    const worker = fakeWorker({ outbound, limits });
    await send(worker, [caption({ webhookURL, model: 'x@1' })]);
    while (calls.length < 4) await settled();
    expect(JSON.parse(calls[0]!.body as string)).toMatchObject({
      errors: [{ code: 'unsupportedModel' }],
    });
    await worker.drain(10_000);
    expect(calls.length).toBe(4);
  });

  it('uploadEndpoint: the text by PUT, and the reply at once', async () => {
    const { calls, outbound } = receiver([503]);
    const worker = fakeWorker({ outbound, limits });
    const uploadEndpoint = 'https://example.com/put?X-Amz-Signature=abc';
    const reply = await send(worker, [caption({ uploadEndpoint })]);
    expect(reply.data).toMatchObject([{ text: 'Hello' }]);
    while (calls.length < 2) await settled();
    expect(calls[1]).toEqual({
      ...{ url: uploadEndpoint, method: 'PUT', type: 'text/plain; charset=utf-8', body: 'Hello' },
    });
  });

  it('goes to no private address', async () => {
    const worker = fakeWorker({ limits: { ...limits, deliveryTries: 1 } });
    const task = caption({ webhookURL: 'http://127.0.0.1:1/hook' });
    expect(await send(worker, [task])).toMatchObject({
      status: 400,
      errors: [{ code: 'invalidWebhookURL', parameter: 'webhookURL' }],
    });
  });
});

describe('one origin', () => {
  it('hosts all dialects: /v1 with an array, /v1/<slug>, /v1/chat/completions', async () => {
    const worker = fakeWorker();
    const messages = [{ role: 'user', content: 'Hi' }];
    expect(await send(worker, [caption()])).toMatchObject({ data: [{ text: 'Hello' }] });
    const segmind = await worker.post('/v1/qwen2p5-vl-3b-instruct', { messages });
    expect(Object.keys((await segmind.json()) as object)).toEqual([
      ...['id', 'object', 'created', 'model', 'choices', 'usage'],
    ]);
    const openai = await worker.post('/v1/chat/completions', { messages, model });
    expect(await openai.json()).toMatchObject({ model, prompt_logprobs: null });
    expect((await worker.get('/v1/models')).status).toBe(200);
    const nowhere = await worker.post('/v1/nothing', { messages });
    expect([nowhere.status, await nowhere.json()]).toMatchObject([404, { object: 'error' }]);
  });
});
