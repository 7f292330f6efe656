// Vercel's AI SDK with its provider for compatible servers against `ocelli serve`. Surprise: it checks every chunk against
// schemas of its own, so a stream that it takes has its keys right.
import { readFileSync } from 'node:fs';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServer, weather } from './server.mjs';

let server;
let model;
const providerWith = (apiKey) =>
  createOpenAICompatible({
    name: 'ocelli',
    baseURL: `${server.url}/v1`,
    apiKey,
    includeUsage: true,
  });

beforeAll(async () => {
  server = await startServer(['--api-key', 'sk-good']);
  model = providerWith('sk-good')('qwen2p5-vl-3b-instruct');
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const prompt = 'What is the capital of France?';
const once = { maxRetries: 0, temperature: 0 };

it('generates text, and streams the same', async () => {
  const whole = await generateText({ ...once, model, prompt });
  expect(whole.text).toMatch(/Paris/);
  expect(whole.finishReason).toBe('stop');
  const stream = streamText({ ...once, model, prompt });
  let text = '';
  for await (const piece of stream.textStream) text += piece;
  expect(text).toBe(whole.text);
  expect(await stream.finishReason).toBe('stop');
  expect((await stream.usage).outputTokens).toBe(whole.usage.outputTokens);
});

it('shows a picture', async () => {
  const content = [
    { type: 'image', image: readFileSync('models/demo/examples/shapes.png') },
    { type: 'text', text: 'Describe this image.' },
  ];
  const { text } = await generateText({ ...once, model, messages: [{ role: 'user', content }] });
  expect(text).toMatch(/^The image shows a yellow star/);
});

const tools = (asked) => ({
  get_weather: tool({
    description: weather.function.description,
    inputSchema: jsonSchema(weather.function.parameters),
    execute: async (input) => (asked.push(input), { temperature: 15 }),
  }),
});

it('calls a tool and goes on with its result, whole and streamed', async () => {
  const words = { ...once, model, prompt: 'What is the weather in London?' };
  for (const ask of [generateText, streamText]) {
    const asked = [];
    const answer = await ask({ ...words, tools: tools(asked), stopWhen: stepCountIs(2) });
    const steps = await answer.steps;
    expect(asked[0]).toEqual({ location: 'London' });
    expect(steps[0].finishReason).toBe('tool-calls');
    expect(steps.length).toBe(2);
  }
});

it('tells errors by their status and words', async () => {
  const failed = (asked) =>
    asked.then(
      () => expect.unreachable('it should fail'),
      (error) => error,
    );
  const unknown = await failed(
    generateText({ ...once, model: providerWith('sk-good')('nope'), prompt }),
  );
  expect(unknown).toMatchObject({ statusCode: 404, message: 'The model `nope` does not exist.' });
  const denied = await failed(
    generateText({ ...once, model: providerWith('sk-bad')('x'), prompt }),
  );
  expect(denied).toMatchObject({ statusCode: 401, message: 'the API key is not known' });
});

it('aborts', async () => {
  const stop = new AbortController();
  const stream = streamText({
    ...once,
    model,
    prompt,
    abortSignal: stop.signal,
    onError: () => undefined,
  });
  const reader = stream.fullStream.getReader();
  await reader.read();
  stop.abort();
  let last;
  for (let next = await reader.read(); !next.done; next = await reader.read()) last = next.value;
  expect(last.type).toBe('abort');
});
