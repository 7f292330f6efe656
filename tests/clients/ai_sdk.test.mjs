// Vercel's AI SDK with its provider for compatible servers against `ocelli serve`. Surprise: it checks every chunk against
// schemas of its own, so a stream that it takes has its keys right.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, generateObject, generateText } from 'ai';
import { jsonSchema, stepCountIs, streamObject, streamText, tool } from 'ai';
import { expect, inject } from 'vitest';
import { cells, failure, versionOf } from './cells.mjs';
import * as asked from './questions.mjs';
import { keys, leaves } from './server.mjs';

const at = inject('at');
const { prompt } = asked;
const provider = ({ url }, apiKey) =>
  createOpenAICompatible({
    ...{ name: 'ocelli', baseURL: `${url}/v1`, apiKey },
    ...{ includeUsage: true, supportsStructuredOutputs: true },
  });
/** What each call has: the model, at a server, with a key. */
const words = ({ server = at.server, key = keys.good, id = asked.model } = {}) => ({
  ...{ maxRetries: 0, temperature: 0, model: provider(server, key)(id) },
});

/** Throws unless a question fails with `statusCode`; whole and streamed. */
async function fails(statusCode, message, more = {}, body = {}) {
  const error = await failure(generateText({ ...words(more), prompt, ...body }));
  expect(APICallError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ statusCode });
  expect(error.message).toMatch(message);
  let streamed;
  const stream = streamText({
    ...{ ...words(more), prompt, ...body },
    onError: ({ error: told }) => (streamed = told),
  });
  await stream.consumeStream();
  expect(streamed).toMatchObject({ statusCode });
}

const tools = (calls) => ({
  get_weather: tool({
    description: asked.weather.function.description,
    inputSchema: jsonSchema(asked.weather.function.parameters),
    execute: async (input) => (calls.push(input), { temperature: 15 }),
  }),
});

cells('ai, @ai-sdk/openai-compatible', versionOf('ai'), {
  async chat() {
    const { text, finishReason } = await generateText({ ...words(), prompt });
    expect(text).toMatch(/Paris/);
    expect(finishReason).toBe('stop');
  },
  async stream() {
    const whole = await generateText({ ...words(), prompt });
    const stream = streamText({ ...words(), prompt });
    let text = '';
    for await (const piece of stream.textStream) text += piece;
    expect(text).toBe(whole.text);
    expect(await stream.finishReason).toBe('stop');
    expect((await stream.usage).outputTokens).toBe(whole.usage.outputTokens);
  },
  async tools() {
    for (const ask of [generateText, streamText]) {
      const calls = [];
      const answer = await ask({
        ...{ ...words(), prompt: asked.weatherPrompt, tools: tools(calls) },
        stopWhen: stepCountIs(2),
      });
      const steps = await answer.steps;
      expect(calls[0]).toEqual({ location: 'London' });
      expect(steps[0].finishReason).toBe('tool-calls');
      expect(steps.length).toBe(2);
    }
  },
  async image() {
    const content = [
      { type: 'image', image: asked.picture },
      { type: 'text', text: asked.picturePrompt },
    ];
    const { text } = await generateText({ ...words(), messages: [{ role: 'user', content }] });
    expect(text).toMatch(asked.pictureAnswer);
  },
  async 'JSON schema'() {
    const schema = jsonSchema(asked.placeSchema);
    const { object } = await generateObject({ ...words(), prompt, schema });
    expect(object).toSatisfy(asked.isPlace);
    const stream = streamObject({ ...words(), prompt, schema });
    // Nothing is asked of the server while nobody reads.
    let last;
    for await (const partial of stream.partialObjectStream) last = partial;
    expect(last).toEqual(object);
    expect(await stream.object).toEqual(object);
  },
  400: () => fails(400, /temperature must be non-negative, got -1/, {}, { temperature: -1 }),
  401: () => fails(401, /the API key is not known/, { key: keys.unknown }),
  404: () => fails(404, /The model `nope` does not exist\./, { id: 'nope' }),
  async 429() {
    const once = generateText({ ...words({ key: keys.limited }), prompt, maxOutputTokens: 1 });
    await once.catch(() => undefined);
    await fails(429, /may send 1 requests a minute/, { key: keys.limited });
  },
  500: () => fails(500, /damaged/, { server: at.failing }),
  async abort() {
    const { n, ignore_eos, max_tokens, temperature } = asked.endless;
    const body = { temperature, maxOutputTokens: max_tokens };
    const providerOptions = { ocelli: { ignore_eos, n } };
    const endless = { ...words(), prompt, ...body, providerOptions };
    await leaves(at.server, async () => {
      const stop = new AbortController();
      const stream = streamText({
        ...{ ...endless, abortSignal: stop.signal, onError: () => undefined },
      });
      const reader = stream.fullStream.getReader();
      await reader.read();
      return async () => {
        stop.abort();
        let last;
        for (let next = await reader.read(); !next.done; next = await reader.read())
          last = next.value;
        expect(last.type).toBe('abort');
      };
    });
    await leaves(at.server, () => {
      const stop = new AbortController();
      const whole = failure(generateText({ ...endless, abortSignal: stop.signal }));
      return async () => {
        stop.abort();
        expect(await whole).toMatchObject({ name: 'AbortError' });
      };
    });
  },
});
