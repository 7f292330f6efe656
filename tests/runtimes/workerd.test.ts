// examples/workerd in workerd: bundled as its README says, the module imported, the weights from a server on loopback.
// Surprise: what is hard in workerd is not one request but the next: whatever a request began ends with it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { answersOver, eventsOf, weights } from './http.ts';
import { type Answers, expectSame, found, program, runtime, titled, type Told } from './runtime.ts';
import * as workerd from './workerd.ts';

const question = {
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
  temperature: 0,
};

let bundle: string;
let model: { origin: string; close(): void };
beforeAll(async () => {
  bundle = await workerd.bundled('examples/workerd');
  model = await weights();
});
afterAll(() => model.close());

const served = (work: (url: string) => Promise<void>): Promise<string> =>
  workerd.served(bundle, { MODEL: model.origin }, work);
const ask = (url: string, body: object, signal?: AbortSignal): Promise<Response> =>
  fetch(url, { method: 'POST', body: JSON.stringify(body), ...(signal && { signal }) });
const content = async (url: string, body: object): Promise<unknown> => {
  const { choices } = (await (await ask(url, body)).json()) as {
    choices: { message: { content: string } }[];
  };
  return choices[0]?.message.content;
};

it('is the real one', async () => {
  const { out } = await program(runtime('workerd').path, ['--version']);
  const [, date = 'no date'] = runtime('workerd').version.split('.');
  expect(out.replaceAll('-', '')).toContain(date);
});

// Since 2026-10 the platform has Node's modules unless told otherwise.
it.each([
  ['imported module', undefined],
  ["imported module, without Node's", '2026-01-01'],
])('answers one request after another: %s', async (how, date) => {
  const mine = date === undefined ? bundle : await workerd.bundled('examples/workerd', date);
  let text = '';
  const ask = async (): Promise<Told> => {
    let answers: Answers = {};
    text = await workerd.served(mine, { MODEL: model.origin }, async (url) => {
      answers = await answersOver((body) => fetch(url, { method: 'POST', body }));
    });
    return { answers, variant: 'st-relaxed', threads: 1 };
  };
  await expectSame({ runtime: titled('workerd'), how }, ask);
  expect(text).toBe('');
});

it('answers requests that come together, while the first of them is loading the model', async () => {
  const text = await served(async (url) => {
    const whole = await Promise.all([1, 2, 3, 4].map(() => content(url, question)));
    expect(new Set(whole)).toEqual(new Set([found.expected['text, whole']?.text]));
  });
  expect(text).toBe('');
});

it('goes on after clients have left', async () => {
  await served(async (url) => {
    for (const stream of [true, false]) {
      const leaving = new AbortController();
      const left = ask(
        url,
        { ...question, stream, max_tokens: 500, ignore_eos: true },
        leaving.signal,
      );
      if (stream) await (await left).body?.getReader().read();
      else await new Promise((resolve) => setTimeout(resolve, 100));
      leaving.abort();
      await left.catch(() => undefined);
      expect(await content(url, question)).toBe(found.expected['text, whole']?.text);
    }
    const streamed = await (await ask(url, { ...question, stream: true })).text();
    expect(eventsOf(streamed).length).toBeGreaterThan(5);
  });
});

it('says what is wrong with a request', async () => {
  await served(async (url) => {
    const response = await ask(url, { messages: [] });
    expect([response.status, await response.json()]).toEqual([
      400,
      { error: expect.stringMatching(/messages/) as string },
    ]);
  });
});
