// OpenAI's own client against `ocelli serve`: the cells, and its helpers, models, choices, a full queue.
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { expect, inject, it } from 'vitest';
import { z } from 'zod';
import { cells, failure, versionOf } from './cells.mjs';
import { keys, leaves, startServer } from './server.mjs';
import * as asked from './questions.mjs';

const { model, messages, weather } = asked;
const { server, failing } = inject('at');
const clientAt = ({ url }, apiKey = keys.good, more = {}) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, ...more });
const client = clientAt(server);
const create = (more = {}, from = client) =>
  from.chat.completions.create({ model, messages, temperature: 0, ...more });

const askWeather = {
  messages: [{ role: 'user', content: asked.weatherPrompt }],
  tools: [weather],
  tool_choice: 'required',
};

cells('openai', versionOf('openai'), {
  async chat() {
    const { data, request_id } = await create().withResponse();
    expect(data.choices[0].message.content).toMatch(/Paris/);
    expect(data).toMatchObject({ model, choices: [{ finish_reason: 'stop' }] });
    expect(request_id).toMatch(/^[0-9a-f]{32}$/);
  },
  async stream() {
    const whole = await create();
    const options = { stream: true, stream_options: { include_usage: true } };
    let text = '';
    let last;
    for await (const chunk of await create(options)) {
      text += chunk.choices[0]?.delta.content ?? '';
      last = chunk;
    }
    expect(text).toBe(whole.choices[0].message.content);
    expect(last.usage.completion_tokens).toBe(whole.usage.completion_tokens);
    const assembled = await client.chat.completions
      .stream({ model, messages, temperature: 0 })
      .finalChatCompletion();
    expect(assembled.choices[0].message.content).toBe(text);
  },
  async tools() {
    const first = await create(askWeather);
    const { message, finish_reason } = first.choices[0];
    expect(finish_reason).toBe('tool_calls');
    const [call] = message.tool_calls;
    expect(call.function.name).toBe('get_weather');
    expect(JSON.parse(call.function.arguments)).toEqual({ location: 'London' });
    const result = { role: 'tool', tool_call_id: call.id, content: '{"temperature": 15}' };
    const second = await create({
      messages: [...askWeather.messages, message, result],
      tools: [weather],
    });
    // The embedded model has not learnt to read results; that they are in its prompt can be seen.
    expect(second.usage.prompt_tokens).toBeGreaterThan(first.usage.total_tokens);
    expect(['stop', 'tool_calls']).toContain(second.choices[0].finish_reason);
  },
  async image() {
    const content = [
      { type: 'image_url', image_url: { url: asked.pictureUrl } },
      { type: 'text', text: asked.picturePrompt },
    ];
    const answer = await create({ messages: [{ role: 'user', content }] });
    expect(answer.choices[0].message.content).toMatch(asked.pictureAnswer);
  },
  async 'JSON schema'() {
    const place = z.object({ city: z.enum(['Paris', 'London']), known: z.boolean() });
    const answer = await client.chat.completions.parse({
      ...{ model, messages, response_format: zodResponseFormat(place, 'place') },
    });
    expect(answer.choices[0].message.parsed).toSatisfy(asked.isPlace);
  },
  async 400() {
    const error = await failure(create({ temperature: -1 }));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, type: 'BadRequestError', param: 'temperature' });
    expect(error.message).toMatch(/temperature must be non-negative, got -1/);
  },
  async 401() {
    const error = await failure(create({}, clientAt(server, keys.unknown)));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error.message).toMatch(/the API key is not known/);
  },
  async 404() {
    expect(await failure(create({ model: 'gpt-4' }))).toBeInstanceOf(OpenAI.NotFoundError);
  },
  async 429() {
    const limited = clientAt(server, keys.limited);
    // Whoever came before may have used it up.
    await create({ max_tokens: 1 }, limited).catch(() => undefined);
    const error = await failure(create({}, limited));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error.message).toMatch(/may send 1 requests a minute/);
  },
  async 500() {
    for (const stream of [false, true]) {
      const error = await failure(create({ stream }, clientAt(failing)));
      expect(error).toBeInstanceOf(OpenAI.InternalServerError);
      expect(error.message).toMatch(/damaged/);
    }
  },
  async abort() {
    await leaves(server, async () => {
      const stream = await create({ ...asked.endless, stream: true });
      await stream[Symbol.asyncIterator]().next();
      return () => stream.controller.abort();
    });
    await leaves(server, () => {
      const stop = new AbortController();
      const body = { model, messages, ...asked.endless };
      const whole = failure(client.chat.completions.create(body, { signal: stop.signal }));
      return async () => {
        stop.abort();
        expect(await whole).toBeInstanceOf(OpenAI.APIUserAbortError);
      };
    });
  },
});

it('runs tools by its runner', async () => {
  const given = [];
  const fn = (value) => (given.push(value), '{"temperature": 15}');
  const runner = client.chat.completions.runTools(
    {
      ...{ model, temperature: 0, stream: true, messages: askWeather.messages },
      tools: [{ ...weather, function: { ...weather.function, function: fn, parse: JSON.parse } }],
    },
    { maxChatCompletions: 2 },
  );
  await runner.done();
  expect(Object.values(given[0])).toEqual(['London']);
});

it('gets as many choices as it asks for', async () => {
  const { choices } = await create({ n: 2, temperature: 1, seed: 7, max_tokens: 4 });
  expect(choices.map(({ index }) => index)).toEqual([0, 1]);
});

it('lists models, and asks for one', async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(['ocelli-demo']);
  expect((await client.models.retrieve(model)).id).toBe(model);
});

it('is told why an image is refused', async () => {
  const image = (url) =>
    failure(
      create({
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
      }),
    );
  expect((await image('data:image/png;base64,AAAA')).status).toBe(400);
  const error = await image('http://127.0.0.1:9/a.png');
  expect(error).toBeInstanceOf(OpenAI.BadRequestError);
  expect(error.message).toMatch(/not on the public internet/);
  expect((await image('file:///etc/passwd')).message).toMatch(/file: image URLs are not allowed/);
});

it('waits as a full queue tells it, and an aborted stream makes room', async () => {
  const busy = await startServer(['--running', '1', '--waiting', '0']);
  const stream = await create({ ...asked.endless, n: 1, stream: true }, clientAt(busy));
  await stream[Symbol.asyncIterator]().next();
  const error = await failure(create({}, clientAt(busy)));
  expect(error).toBeInstanceOf(OpenAI.RateLimitError);
  expect(Number(error.headers.get('retry-after'))).toBeGreaterThan(0);
  stream.controller.abort();
  const answer = await create({}, clientAt(busy, 'any', { maxRetries: 20 }));
  expect(answer.choices[0].finish_reason).toBe('stop');
  expect(await busy.stop()).toBe(0);
  expect(busy.out.split('\n').filter((line) => line.includes('"abort"'))).toHaveLength(1);
});
