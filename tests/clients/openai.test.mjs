// OpenAI's own client against `ocelli serve`: chat, stream, tools, image, models, errors, abort.
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startServer, weather } from './server.mjs';

const model = 'qwen-qwen25-vl-3b-instruct-awq';
const question = [{ role: 'user', content: 'What is the capital of France?' }];
const shapes = readFileSync('models/demo/examples/shapes.png');

let server;
let client;
const clientWith = (apiKey, more = {}) =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0, ...more });

beforeAll(async () => {
  server = await startServer(['--api-key', 'sk-good']);
  client = clientWith('sk-good');
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

describe('chat completions', () => {
  it('answer', async () => {
    const { data, request_id } = await client.chat.completions
      .create({ model, messages: question, temperature: 0 })
      .withResponse();
    expect(data.choices[0].message.content).toMatch(/Paris/);
    expect(data).toMatchObject({ model, choices: [{ finish_reason: 'stop' }] });
    expect(request_id).toMatch(/^[0-9a-f]{32}$/);
  });

  it('stream what they answer', async () => {
    const body = { model, messages: question, temperature: 0 };
    const whole = await client.chat.completions.create(body);
    const options = { stream: true, stream_options: { include_usage: true } };
    let text = '';
    let last;
    for await (const chunk of await client.chat.completions.create({ ...body, ...options })) {
      text += chunk.choices[0]?.delta.content ?? '';
      last = chunk;
    }
    expect(text).toBe(whole.choices[0].message.content);
    expect(last.usage.completion_tokens).toBe(whole.usage.completion_tokens);
    const assembled = await client.chat.completions.stream(body).finalChatCompletion();
    expect(assembled.choices[0].message.content).toBe(text);
  });

  it('describe a picture', async () => {
    const url = `data:image/png;base64,${shapes.toString('base64')}`;
    const content = [
      { type: 'image_url', image_url: { url } },
      { type: 'text', text: 'Describe this image.' },
    ];
    const answer = await client.chat.completions.create({
      ...{ model, temperature: 0, messages: [{ role: 'user', content }] },
    });
    expect(answer.choices[0].message.content).toMatch(/^The image shows a yellow star/);
  });

  it('give as many choices as asked for', async () => {
    const body = { model, messages: question, n: 2, temperature: 1, seed: 7, max_tokens: 4 };
    const { choices } = await client.chat.completions.create(body);
    expect(choices.map(({ index }) => index)).toEqual([0, 1]);
  });
});

describe('tools', () => {
  const messages = [{ role: 'user', content: 'What is the weather in London?' }];
  const body = { model, messages, tools: [weather], temperature: 0 };

  it('are called, and their results are taken', async () => {
    const first = await client.chat.completions.create(body);
    const { message, finish_reason } = first.choices[0];
    expect(finish_reason).toBe('tool_calls');
    const [call] = message.tool_calls;
    expect(call.function.name).toBe('get_weather');
    expect(JSON.parse(call.function.arguments)).toEqual({ location: 'London' });
    const result = { role: 'tool', tool_call_id: call.id, content: '{"temperature": 15}' };
    const second = await client.chat.completions.create({
      ...body,
      messages: [...messages, message, result],
    });
    // The embedded model has not learnt to read results; that they are in its prompt can be seen.
    expect(second.usage.prompt_tokens).toBeGreaterThan(first.usage.total_tokens);
    expect(['stop', 'tool_calls']).toContain(second.choices[0].finish_reason);
  });

  it('are run by its runner', async () => {
    const asked = [];
    const fn = (given) => (asked.push(given), '{"temperature": 15}');
    const runner = client.chat.completions.runTools(
      {
        ...body,
        tools: [{ ...weather, function: { ...weather.function, function: fn, parse: JSON.parse } }],
        stream: true,
      },
      { maxChatCompletions: 2 },
    );
    await runner.done();
    expect(Object.values(asked[0])).toEqual(['London']);
  });
});

it('models are listed and told', async () => {
  const { data } = await client.models.list();
  expect(data.map(({ id }) => id)).toEqual(['ocelli-demo']);
  expect((await client.models.retrieve(model)).id).toBe(model);
});

describe('errors', () => {
  const failure = (asked) =>
    asked.then(
      () => expect.unreachable('it should have failed'),
      (error) => error,
    );
  const create = (more, from = client) =>
    failure(from.chat.completions.create({ model, messages: question, ...more }));

  it('of the body are 400 with the parameter', async () => {
    const error = await create({ temperature: -1 });
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, type: 'BadRequestError', param: 'temperature' });
    expect(error.message).toMatch(/temperature must be non-negative, got -1/);
  });

  it('of an image that is none, is too far away, or is private are 400', async () => {
    const image = (url) =>
      create({
        messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }],
      });
    expect((await image('data:image/png;base64,AAAA')).status).toBe(400);
    const error = await image('http://127.0.0.1:9/a.png');
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error.message).toMatch(/not on the public internet/);
    expect((await image('file:///etc/passwd')).message).toMatch(/file: image URLs are not allowed/);
  });

  it('of the key are 401, of the model 404', async () => {
    const error = await create({}, clientWith('sk-bad'));
    expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
    expect(error.message).toMatch(/the API key is not known/);
    expect(await create({ model: 'gpt-4' })).toBeInstanceOf(OpenAI.NotFoundError);
  });

  it('of a full queue are 429; an aborted stream makes room', async () => {
    const busy = await startServer(['--running', '1', '--waiting', '0']);
    const baseURL = `${busy.url}/v1`;
    const one = clientWith('any', { baseURL });
    const long = { model, messages: question, ignore_eos: true, stream: true };
    const stream = await one.chat.completions.create(long);
    await stream[Symbol.asyncIterator]().next();
    const error = await create({}, one);
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(Number(error.headers.get('retry-after'))).toBeGreaterThan(0);
    stream.controller.abort();
    // This one waits as it is told and asks again.
    const patient = clientWith('any', { baseURL, maxRetries: 20 });
    const answer = await patient.chat.completions.create({ model, messages: question });
    expect(answer.choices[0].finish_reason).toBe('stop');
    expect(await busy.stop()).toBe(0);
    expect(busy.out.split('\n').filter((line) => line.includes('"abort"'))).toHaveLength(1);
  });

  it('of an abort are its own', async () => {
    const stop = new AbortController();
    const asked = client.chat.completions.create(
      { model, messages: question, ignore_eos: true },
      { signal: stop.signal },
    );
    setTimeout(() => stop.abort(), 50);
    expect(await failure(asked)).toBeInstanceOf(OpenAI.APIUserAbortError);
  });
});
