// LangChain's OpenAI chat model against `ocelli serve`.
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { expect, inject } from 'vitest';
import { cells, failure, versionOf } from './cells.mjs';
import * as asked from './questions.mjs';
import { keys, leaves } from './server.mjs';

const at = inject('at');
const { prompt } = asked;
const chat = ({ server = at.server, apiKey = keys.good, ...more } = {}) =>
  new ChatOpenAI({
    ...{ model: 'Qwen/Qwen2.5-VL-3B-Instruct', temperature: 0, maxRetries: 0, apiKey },
    ...{ configuration: { baseURL: `${server.url}/v1` }, ...more },
  });

/** Throws unless a question, whole or streamed, fails so. */
async function fails(expected, message, more) {
  for (const ask of [(one) => one.invoke(prompt), (one) => one.stream(prompt)]) {
    const error = await failure(ask(chat(more)));
    expect(error).toMatchObject(expected);
    expect(error.message).toMatch(message);
  }
}

cells('@langchain/openai', versionOf('@langchain/openai'), {
  async chat() {
    expect((await chat().invoke(prompt)).content).toMatch(/Paris/);
  },
  async stream() {
    const whole = await chat().invoke(prompt);
    let joined;
    for await (const chunk of await chat().stream(prompt))
      joined = joined ? joined.concat(chunk) : chunk;
    expect(joined.content).toBe(whole.content);
    const { total_tokens } = whole.usage_metadata;
    expect(joined.usage_metadata).toMatchObject({ total_tokens });
  },
  async tools() {
    const bound = chat().bindTools([asked.weather], { tool_choice: 'required' });
    const question = new HumanMessage(asked.weatherPrompt);
    const first = await bound.invoke([question]);
    const [call] = first.tool_calls;
    expect(call).toMatchObject({ name: 'get_weather', args: { location: 'London' } });
    const result = new ToolMessage({ content: '15', tool_call_id: call.id });
    const second = await chat().bindTools([asked.weather]).invoke([question, first, result]);
    // What the embedded model makes of it is its own affair; the call and its result are in the prompt.
    expect(second.usage_metadata.input_tokens).toBeGreaterThan(first.usage_metadata.total_tokens);
  },
  async image() {
    const content = [
      { type: 'image_url', image_url: { url: asked.pictureUrl } },
      { type: 'text', text: asked.picturePrompt },
    ];
    const { content: text } = await chat().invoke([new HumanMessage({ content })]);
    expect(text).toMatch(asked.pictureAnswer);
  },
  async 'JSON schema'() {
    for (const method of ['jsonSchema', 'functionCalling']) {
      const bound = chat().withStructuredOutput(asked.placeSchema, {
        ...{ name: 'place', method, strict: true },
      });
      expect(await bound.invoke(prompt)).toSatisfy(asked.isPlace);
    }
  },
  400: () => fails({ status: 400 }, /temperature must be non-negative/, { temperature: -1 }),
  401: () =>
    fails({ status: 401, lc_error_code: 'MODEL_AUTHENTICATION' }, /the API key is not known/, {
      apiKey: keys.unknown,
    }),
  404: () =>
    fails({ status: 404, lc_error_code: 'MODEL_NOT_FOUND' }, /`nope` does not exist/, {
      model: 'nope',
    }),
  async 429() {
    const once = chat({ apiKey: keys.limited, maxTokens: 1 }).invoke(prompt);
    await once.catch(() => undefined);
    const expected = { status: 429, lc_error_code: 'MODEL_RATE_LIMIT' };
    await fails(expected, /may send 1 requests a minute/, { apiKey: keys.limited });
  },
  500: () => fails({ status: 500 }, /damaged/, { server: at.failing }),
  async abort() {
    const { ignore_eos, max_tokens, ...more } = asked.endless;
    const endless = () => chat({ ...more, maxTokens: max_tokens, modelKwargs: { ignore_eos } });
    await leaves(at.server, async () => {
      const stop = new AbortController();
      const stream = await endless().stream(prompt, { signal: stop.signal });
      const reader = stream.getReader();
      await reader.read();
      return async () => {
        stop.abort();
        await failure(
          (async () => {
            while (!(await reader.read()).done);
          })(),
        );
      };
    });
    await leaves(at.server, () => {
      const stop = new AbortController();
      const whole = failure(endless().invoke(prompt, { signal: stop.signal }));
      return async () => {
        stop.abort();
        expect((await whole).message).toMatch(/abort/i);
      };
    });
  },
});
