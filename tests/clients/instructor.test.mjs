// Instructor against `ocelli serve`: values of a zod schema, by a tool or by a JSON schema. Surprise: it was made for zod 3, so
// its schemas are those that zod 4 still has of it.
import createInstructor from '@instructor-ai/instructor';
import OpenAI from 'openai';
import { expect, inject, vi } from 'vitest';
import { z } from 'zod/v3';
import { cells, failure, versionOf } from './cells.mjs';
import * as asked from './questions.mjs';
import { keys, leaves } from './server.mjs';

const at = inject('at');
const { model, messages } = asked;
const schema = z.object({ city: z.enum(['Paris', 'London']), known: z.boolean() });
const response_model = { schema, name: 'place' };
const silent = () => undefined;
// It says each failure there, with all of its body.
vi.spyOn(console, 'error').mockImplementation(silent);

const instructor = ({ server = at.server, apiKey = keys.good, mode = 'TOOLS' } = {}) =>
  createInstructor({
    client: new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 }),
    mode,
  });
/** Without a schema it is the client that it wraps. */
const plain = (more = {}, words = {}, options = {}) =>
  instructor(words).chat.completions.create({ model, messages, temperature: 0, ...more }, options);
const create = (more = {}, words = {}) => plain({ response_model, ...more }, words);

async function fails(name, message, more, words) {
  const error = await failure(create(more, words));
  expect(error).toBeInstanceOf(OpenAI[name]);
  expect(error.message).toMatch(message);
}
const value = ({ _meta, ...fields }) => fields;

cells('@instructor-ai/instructor', versionOf('@instructor-ai/instructor'), {
  async chat() {
    const answer = await plain();
    expect(answer.choices[0].message.content).toMatch(/Paris/);
  },
  async stream() {
    const whole = await create();
    let last;
    for await (const partial of await create({ stream: true })) last = partial;
    expect(value(last)).toEqual(value(whole));
  },
  async tools() {
    const answer = await create({}, { mode: 'TOOLS' });
    expect(value(answer)).toSatisfy(asked.isPlace);
    expect(answer._meta.usage.completion_tokens).toBeGreaterThan(0);
  },
  async image() {
    const content = [
      { type: 'image_url', image_url: { url: asked.pictureUrl } },
      { type: 'text', text: asked.picturePrompt },
    ];
    const shapes = z.object({
      color: z.enum(['yellow', 'blue']),
      shape: z.enum(['star', 'circle']),
    });
    const answer = await create({
      messages: [{ role: 'user', content }],
      response_model: { schema: shapes, name: 'shapes' },
    });
    expect(shapes.safeParse(value(answer)).success).toBe(true);
    expect(answer._meta.usage.prompt_tokens).toBeGreaterThan(100);
  },
  async 'JSON schema'() {
    const json_schema = { name: 'place', schema: asked.placeSchema, strict: true };
    const answer = await plain({ response_format: { type: 'json_schema', json_schema } });
    expect(JSON.parse(answer.choices[0].message.content)).toSatisfy(asked.isPlace);
    // Its own mode sends the schema beside "json_object".
    expect(value(await create({}, { mode: 'JSON_SCHEMA' }))).toSatisfy(asked.isPlace);
  },
  400: () => fails('BadRequestError', /temperature must be non-negative/, { temperature: -1 }),
  401: () => fails('AuthenticationError', /key is not known/, {}, { apiKey: keys.unknown }),
  404: () => fails('NotFoundError', /`nope` does not exist/, { model: 'nope' }),
  async 429() {
    const words = { apiKey: keys.limited };
    await create({}, words).catch(silent);
    await fails('RateLimitError', /may send 1 requests a minute/, {}, words);
  },
  500: () => fails('InternalServerError', /damaged/, {}, { server: at.failing }),
  abort: () =>
    leaves(at.server, () => {
      const stop = new AbortController();
      const { signal } = stop;
      const whole = failure(plain(asked.endless, {}, { signal }));
      return async () => {
        stop.abort();
        expect(await whole).toBeInstanceOf(OpenAI.APIUserAbortError);
      };
    }),
});
