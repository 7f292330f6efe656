// Text completions, the API before chats: the bytes of the routes on a scripted core, and the lists of tokens on the embedded
// model, where what is echoed can be compared with what is computed.
import { afterAll, describe, expect, it } from 'vitest';
import { createAI } from '../../js/ai.ts';
import type { Usage } from '../../js/types.ts';
import { createWorker } from '../../worker/app.ts';
import { completionChunk, completionReply } from '../../worker/schemas.ts';
import { settled } from '../js/fake_ai.ts';
import { fakeWorker } from './fake_worker.ts';

const path = '/v1/completions';

interface Completion {
  choices: {
    index: number;
    text: string;
    logprobs: {
      text_offset: number[];
      token_logprobs: (number | null)[];
      tokens: string[];
      top_logprobs: (Record<string, number> | null)[];
    } | null;
    finish_reason: string | null;
    prompt_logprobs?: unknown[] | null;
  }[];
  usage: Usage | null;
}

describe('on a scripted core', () => {
  it('a prompt is answered with the keys of vLLM, in their order', async () => {
    const worker = fakeWorker({ clock: () => 1000 });
    const reply = await worker.post(path, { prompt: 'Once' });
    const text = await reply.text();
    expect(
      text.replace(/cmpl-[0-9a-f]{32}/, 'cmpl-ID').replace(/"created":\d+/, '"created":1'),
    ).toBe(
      '{"id":"cmpl-ID","object":"text_completion","created":1,"model":"fake-model","choices":[{"index":0,' +
        '"text":"Hello","logprobs":null,"finish_reason":"stop","stop_reason":null,"prompt_logprobs":null}],' +
        '"usage":{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,"prompt_tokens_details":null}}',
    );
    const asked = JSON.parse(worker.core.opened[0] as string) as object;
    expect(asked).toMatchObject({ prompt: 'Once', max_tokens: 16, logprobs: false });
    expect(worker.records[0]).toMatchObject({ prompt_tokens: 9, completion_tokens: 3 });
  });

  it('/invocations answers a chat or a text, as its body asks', async () => {
    const worker = fakeWorker();
    const objectOf = async (body: unknown): Promise<unknown> => {
      const reply = await worker.post('/invocations', body);
      return ((await reply.json()) as { object: unknown }).object;
    };
    expect(await objectOf({ prompt: 'Once' })).toBe('text_completion');
    expect(await objectOf({ messages: [{ role: 'user', content: 'Hi' }] })).toBe('chat.completion');
    for (const body of [{}, { input: 'Once' }, []])
      expect((await worker.post('/invocations', body)).status).toBe(400);
  });

  it('many prompts are no leak of listeners in the eyes of Node', async () => {
    const warnings: string[] = [];
    const note = ({ name }: Error): void => void warnings.push(name);
    process.on('warning', note);
    const worker = fakeWorker();
    const prompt = Array.from({ length: 16 }, (_, i) => `${i}`);
    expect((await worker.post(path, { prompt })).status).toBe(200);
    await settled();
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('streams are LF only, with usage when it is asked for', async () => {
    const worker = fakeWorker();
    const body = { prompt: 'Once', stream: true, echo: true };
    const plain = await (await worker.post(path, body)).text();
    const events = plain
      .split('\n\n')
      .map((event) => event.replace(/"created":\d+/, '"created":1'));
    const head =
      /^data: (\{"id":"cmpl-[0-9a-f]{32}","object":"text_completion","created":1,"model":"fake-model",)/.exec(
        events[0] as string,
      )?.[1];
    const chunk = (text: string, reason: string | null = null): string =>
      `data: ${head}"choices":[{"index":0,"text":${JSON.stringify(text)},"logprobs":null,` +
      `"finish_reason":${JSON.stringify(reason)},"stop_reason":null}],"usage":null}`;
    expect(events).toEqual([
      ...[chunk('Once'), chunk('Hel'), chunk('lo'), chunk('', 'stop'), 'data: [DONE]', ''],
    ]);
    const options = { stream_options: { include_usage: true } };
    const counted = await (await worker.post(path, { ...body, ...options })).text();
    expect(counted).toMatch(
      /"choices":\[\],"usage":\{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3\}\}\n\ndata: \[DONE\]\n\n$/,
    );
  });

  it('several prompts are choices one after the other, and their usage one sum', async () => {
    const worker = fakeWorker();
    for (const prompt of [
      ['a', 'b', 'c'],
      [[1], [2, 3], [4]],
    ]) {
      const reply = (await (await worker.post(path, { prompt, echo: true })).json()) as Completion;
      expect(reply.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
      expect(reply.usage).toMatchObject({ prompt_tokens: 27, completion_tokens: 9 });
    }
    const one = (await (
      await worker.post(path, { prompt: [72, 105], echo: true })
    ).json()) as Completion;
    expect(one.choices.map(({ text }) => text)).toEqual(['HiHello']);
    const stream = await (await worker.post(path, { prompt: ['a', 'b'], stream: true })).text();
    const chunks = stream.split('\n\n').filter((event) => event.startsWith('data: {'));
    const parsed = chunks.map((event) => JSON.parse(event.slice(6)) as Completion);
    for (const which of [0, 1])
      expect(
        parsed.flatMap(({ choices }) =>
          choices.filter(({ index }) => index === which).map(({ text }) => text),
        ),
      ).toEqual(['Hel', 'lo', '']);
  });

  it('what one prompt is refused for, the request is: nothing else goes on', async () => {
    const worker = fakeWorker({ limits: { runningMax: 1, waitingMax: 1 } });
    const reply = await worker.post(path, { prompt: ['a', 'b', 'c'] });
    expect(reply.status).toBe(429);
    await worker.drain(0);
    expect(worker.core.requests.size).toBe(0);
    expect(worker.context.queue.running).toBe(0);
  });

  it.each<[object, RegExp, number?]>([
    [{}, /^prompt: must be a text/],
    [{ prompt: 7 }, /^prompt: must be a text/],
    [{ prompt: ['a', 7] }, /^prompt: must be a text/],
    [{ prompt: [] }, /^prompt must hold 1 to 64 prompts, got 0/],
    [{ prompt: Array(65).fill('a') }, /^prompt must hold 1 to 64 prompts, got 65/],
    [{ prompt: 'a', logprobs: 21 }, /^logprobs: /],
    [{ prompt: 'a', logprobs: true }, /^logprobs: /],
    [{ prompt: 'a', suffix: 'z' }, /^suffix is not supported/],
    [{ prompt: 'a', echo: true, logprobs: 1, stream: true }, /not available when `stream=True`/],
    [{ prompt: 'a', model: 'no' }, /`no` does not exist/, 404],
  ])('%j is refused', async (body, message, status = 400) => {
    const reply = await fakeWorker().post(path, body);
    expect(reply.status).toBe(status);
    expect(((await reply.json()) as { message: string }).message).toMatch(message);
  });

  it('a client that leaves ends all of its prompts', async () => {
    const worker = fakeWorker({}, () => [
      [{ type: 'prompt', prompt_tokens: 1, images: [] }],
      [{ type: 'delta', index: 0, text: 'a', tokens: 1 }],
      'forever',
    ]);
    const reply = await worker.post(path, { prompt: ['a', 'b'], stream: true });
    const reader = (reply.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await worker.context.queue.idle();
    expect(worker.core.requests.size).toBe(0);
  });
});

describe('on the embedded model', () => {
  const ai = createAI({ promptTokensDetails: true });
  const worker = createWorker({ ai });
  afterAll(async () => {
    await worker.close();
    await ai.close();
  });
  const post = (body: object): Promise<Response> =>
    worker.fetch(
      new Request(`http://host${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ temperature: 0, ...body }),
      }),
    );
  const ask = async (body: object): Promise<Completion> => {
    const reply = (await (await post(body)).json()) as Completion;
    completionReply.parse(reply);
    return reply;
  };
  const prompt = 'The image shows a red';
  const only = ({ choices }: Completion): Completion['choices'][0] =>
    choices[0] as Completion['choices'][0];

  it('usage adds up what all prompts took from the cache', async () => {
    const body = {
      prompt: ['one two three four '.repeat(8), 'five six '.repeat(20)],
      max_tokens: 1,
    };
    await ask(body);
    const usage = (await ask(body)).usage as Usage;
    const cached = usage.prompt_tokens_details?.cached_tokens as number;
    expect(usage.prompt_tokens).toBeGreaterThan(cached);
    expect(cached).toBeGreaterThan(usage.prompt_tokens - 2 * 17);
    const stream = await post({ ...body, stream: true, stream_options: { include_usage: true } });
    expect(await stream.text()).toContain(`"prompt_tokens_details":{"cached_tokens":${cached}}`);
  });

  it('a prompt goes on as it began, and streams say the same', async () => {
    const whole = only(await ask({ prompt, max_tokens: 6, logprobs: 2 }));
    const lists = whole.logprobs!;
    expect(lists.tokens.join('')).toContain(whole.text);
    expect(lists.token_logprobs.length).toBe(6);
    for (const [i, top] of lists.top_logprobs.entries())
      expect(top).toHaveProperty([lists.tokens[i] as string], lists.token_logprobs[i]);
    expect(lists.top_logprobs.every((top) => [2, 3].includes(Object.keys(top ?? {}).length))).toBe(
      true,
    );
    let length = 0;
    for (const [i, token] of lists.tokens.entries()) {
      expect(lists.text_offset[i]).toBe(length);
      length += [...token].length;
    }

    const stream = await (await post({ prompt, max_tokens: 6, logprobs: 2, stream: true })).text();
    const chunks = stream
      .split('\n\n')
      .filter((event) => event.startsWith('data: {'))
      .map((event) => completionChunk.parse(JSON.parse(event.slice(6))) as Completion)
      .map(only);
    expect(chunks.map(({ text }) => text).join('')).toBe(whole.text);
    for (const name of ['text_offset', 'token_logprobs', 'tokens', 'top_logprobs'] as const)
      expect(chunks.flatMap(({ logprobs }): unknown[] => logprobs?.[name] ?? [])).toEqual(
        lists[name],
      );
  });

  it('an echo shows the prompt, and how likely each of its tokens was', async () => {
    const echoed = only(await ask({ prompt, max_tokens: 3, logprobs: 1, echo: true }));
    const plain = only(await ask({ prompt, max_tokens: 3, logprobs: 1 }));
    expect(echoed.text).toBe(prompt + plain.text);
    const ids = await ai.tokenize(prompt);
    const { tokens, token_logprobs: given, top_logprobs: top } = echoed.logprobs!;
    expect(tokens.slice(0, ids.length).join('')).toBe(prompt);
    expect([given[0], top[0]]).toEqual([null, null]);
    expect(given.slice(1).every((one) => typeof one === 'number' && one <= 0)).toBe(true);
    expect(tokens.slice(ids.length)).toEqual(plain.logprobs?.tokens);
    // What a prompt's token was worth is what the same token is worth as an answer.
    const shorter = only(
      await ask({
        prompt: ids.slice(0, 3),
        max_tokens: 1,
        logprobs: 0,
        forced_token_ids: [ids[3]],
      }),
    );
    expect(shorter.logprobs?.token_logprobs[0]).toBeCloseTo(given[3] as number, 4);
  });

  it('max_tokens 0 with echo gives the prompt alone', async () => {
    for (const given of [prompt, await ai.tokenize(prompt)]) {
      const { choices, usage } = await ask({
        prompt: given,
        max_tokens: 0,
        logprobs: 1,
        echo: true,
      });
      expect(choices[0]).toMatchObject({ text: prompt, finish_reason: 'length' });
      expect(choices[0]?.logprobs?.tokens.length).toBe(usage?.prompt_tokens);
      expect(usage).toMatchObject({ completion_tokens: 0, total_tokens: usage?.prompt_tokens });
    }
    const stream = await (await post({ prompt, max_tokens: 0, echo: true, stream: true })).text();
    expect(stream.match(/"text":"[^"]*"/g)).toEqual([`"text":"${prompt}"`, '"text":""']);
    const refused = await post({ prompt, max_tokens: 0 });
    expect(refused.status).toBe(400);
  });

  it('choices, stops and structured output work as in chats', async () => {
    const two = await ask({ prompt: [prompt, 'A'], n: 2, temperature: 1, seed: 3, max_tokens: 2 });
    expect(two.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    const chosen = only(await ask({ prompt, guided_choice: ['star', 'house'] }));
    expect(['star', 'house']).toContain(chosen.text);
    const stopped = only(await ask({ prompt, stop: ['.'], max_tokens: 60 }));
    expect(stopped.text).not.toContain('.');
  });
});
