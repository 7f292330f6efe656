// OpenAI's agents over chat completions against `ocelli serve`. Surprise: it brings a client of its own, of a later version
// than the one that openai.test.mjs has.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Agent, OpenAIChatCompletionsModel, Runner, tool } from '@openai/agents';
import { expect, inject } from 'vitest';
import { z } from 'zod';
import { cells, failure, packageAt, versionOf } from './cells.mjs';
import * as asked from './questions.mjs';
import { keys, leaves } from './server.mjs';

const { OpenAI } = createRequire(join(packageAt('@openai/agents-openai'), 'package.json'))(
  'openai',
);
const at = inject('at');
const runner = new Runner({ tracingDisabled: true });

const agent = ({
  server = at.server,
  apiKey = keys.good,
  model = asked.model,
  modelSettings = {},
  ...more
} = {}) =>
  new Agent({
    name: 'one',
    model: new OpenAIChatCompletionsModel(
      new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 }),
      model,
    ),
    modelSettings: { temperature: 0, ...modelSettings },
    ...more,
  });

/** Throws unless a run, whole or streamed, fails with an error of this class of the client. */
async function fails(name, message, more) {
  const whole = await failure(runner.run(agent(more), asked.prompt));
  const stream = await runner.run(agent(more), asked.prompt, { stream: true });
  const streamed = await failure(stream.completed);
  for (const error of [whole, streamed]) {
    expect(error).toBeInstanceOf(OpenAI[name]);
    expect(error.message).toMatch(message);
  }
}

cells('@openai/agents', versionOf('@openai/agents'), {
  async chat() {
    expect((await runner.run(agent(), asked.prompt)).finalOutput).toMatch(/Paris/);
  },
  async stream() {
    const whole = await runner.run(agent(), asked.prompt);
    const stream = await runner.run(agent(), asked.prompt, { stream: true });
    let text = '';
    for await (const piece of stream.toTextStream()) text += piece;
    await stream.completed;
    expect(text).toBe(whole.finalOutput);
    const { outputTokens } = whole.rawResponses[0].usage;
    expect(stream.rawResponses[0].usage.outputTokens).toBe(outputTokens);
  },
  async tools() {
    for (const stream of [false, true]) {
      const calls = [];
      const weather = tool({
        name: 'get_weather',
        description: asked.weather.function.description,
        parameters: z.object({ location: z.string() }),
        execute: (input) => (calls.push(input), '15'),
      });
      const words = { tools: [weather], modelSettings: { toolChoice: 'required' } };
      // The embedded model may ask for a tool again and again, so whoever goes on has none.
      const first = await runner.run(
        agent({ ...words, toolUseBehavior: 'stop_on_first_tool' }),
        asked.weatherPrompt,
        { stream },
      );
      if (stream) await first.completed;
      expect(calls).toEqual([{ location: 'London' }]);
      expect(first.finalOutput).toBe('15');
      const second = await runner.run(agent(), first.history);
      const [{ usage: before }] = first.rawResponses;
      const [{ usage: after }] = second.rawResponses;
      expect(after.inputTokens).toBeGreaterThan(before.outputTokens);
      expect(first.history.map(({ type }) => type)).toEqual(
        expect.arrayContaining(['function_call', 'function_call_result']),
      );
    }
  },
  async image() {
    const content = [
      { type: 'input_image', image: asked.pictureUrl },
      { type: 'input_text', text: asked.picturePrompt },
    ];
    const { finalOutput } = await runner.run(agent(), [{ role: 'user', content }]);
    expect(finalOutput).toMatch(asked.pictureAnswer);
  },
  async 'JSON schema'() {
    const outputType = z.object({ city: z.enum(['Paris', 'London']), known: z.boolean() });
    const { finalOutput } = await runner.run(agent({ outputType }), asked.prompt);
    expect(finalOutput).toSatisfy(asked.isPlace);
  },
  400: () =>
    fails('BadRequestError', /temperature must be non-negative/, {
      modelSettings: { temperature: -1 },
    }),
  401: () => fails('AuthenticationError', /the API key is not known/, { apiKey: keys.unknown }),
  404: () => fails('NotFoundError', /`nope` does not exist/, { model: 'nope' }),
  async 429() {
    const more = { apiKey: keys.limited };
    const once = agent({ ...more, modelSettings: { maxTokens: 1 } });
    await runner.run(once, asked.prompt).catch(() => undefined);
    await fails('RateLimitError', /may send 1 requests a minute/, more);
  },
  500: () => fails('InternalServerError', /damaged/, { server: at.failing }),
  async abort() {
    const { temperature, max_tokens, ...providerData } = asked.endless;
    const endless = agent({ modelSettings: { temperature, maxTokens: max_tokens, providerData } });
    await leaves(at.server, () => {
      const stop = new AbortController();
      const { signal } = stop;
      const whole = failure(runner.run(endless, asked.prompt, { signal }));
      return async () => {
        stop.abort();
        expect((await whole).message).toMatch(/abort/i);
      };
    });
    await leaves(at.server, async () => {
      const stop = new AbortController();
      const { signal } = stop;
      const stream = await runner.run(endless, asked.prompt, { signal, stream: true });
      const reader = stream.toStream().getReader();
      await reader.read();
      return () => stop.abort();
    });
  },
});
