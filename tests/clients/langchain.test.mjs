// LangChain's OpenAI chat model against `ocelli serve`.
import { ChatOpenAI } from '@langchain/openai';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startServer, weather } from './server.mjs';

let server;
let model;
beforeAll(async () => {
  server = await startServer();
  model = new ChatOpenAI({
    ...{ model: 'Qwen/Qwen2.5-VL-3B-Instruct', apiKey: 'x', temperature: 0, maxRetries: 0 },
    configuration: { baseURL: `${server.url}/v1` },
  });
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

const prompt = 'What is the capital of France?';

it('answers, and streams the same with its usage', async () => {
  const whole = await model.invoke(prompt);
  expect(whole.content).toMatch(/Paris/);
  let joined;
  for await (const chunk of await model.stream(prompt))
    joined = joined ? joined.concat(chunk) : chunk;
  expect(joined.content).toBe(whole.content);
  expect(joined.usage_metadata).toMatchObject({ total_tokens: whole.usage_metadata.total_tokens });
});

it('calls a tool and takes its result', async () => {
  const bound = model.bindTools([weather]);
  const asked = new HumanMessage('What is the weather in London?');
  const first = await bound.invoke([asked]);
  const [call] = first.tool_calls;
  expect(call).toMatchObject({ name: 'get_weather', args: { location: 'London' } });
  const result = new ToolMessage({ content: '15', tool_call_id: call.id });
  const second = await bound.invoke([asked, first, result]);
  // What the embedded model makes of it is its own affair; the call and its result are in the prompt.
  expect(second.usage_metadata.input_tokens).toBeGreaterThan(
    first.usage_metadata.input_tokens + first.usage_metadata.output_tokens,
  );
});

it('tells an error by its words', async () => {
  await expect(model.invoke(prompt, { stop: [''] })).rejects.toThrow(
    /stop cannot contain an empty string/,
  );
});
