// Sampling: what decides the next token, what ends an answer, and what is told about both. Part of checklist.test.ts.
import { describe, expect, it } from 'vitest';
import type { ChatBody } from '../../../js/index.ts';
import { ai, hello, one, prompt, refusal, run, saying, streamed } from './context.ts';

describe('Sampling: temperature 0 determinism, seed determinism, n>1 order by index, stop string spanning tokens, stop_token_ids integer stop_reason, min_tokens, logit_bias ±100, logprobs incl. eos, prompt_logprobs first null', () => {
  const ids = async (body: Partial<ChatBody>): Promise<number[][]> => {
    const base = { messages: hello, max_tokens: 8, ignore_eos: true, return_token_ids: true };
    return (await run({ ...base, ...body })).choices.map(({ token_ids = [] }) => token_ids);
  };
  it('temperature 0 and seeds repeat; other seeds do not; streams say the same', async () => {
    expect(await ids({ temperature: 0 })).toEqual(await ids({ temperature: 0 }));
    const seven = await ids({ temperature: 1, seed: 7 });
    expect(await ids({ temperature: 1, seed: 7 })).toEqual(seven);
    expect(await ids({ temperature: 1, seed: 8 })).not.toEqual(seven);
    const body = { messages: hello, max_tokens: 8, temperature: 1, seed: 7 };
    const text = (await streamed(body))
      .map(({ choices }) => choices[0]?.delta.content ?? '')
      .join('');
    expect(text).toBe(one((await run(body)).choices).message.content);
  });
  it('n choices come by index, each as if asked alone', async () => {
    const body = { messages: hello, n: 3, seed: 20, temperature: 1, max_tokens: 5 };
    const { choices, usage } = await run(body);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(usage.completion_tokens).toBe(
      (await ids({ ...body, return_token_ids: true })).flat().length,
    );
    const second = one((await run({ ...body, n: 1, seed: 21 })).choices);
    expect(choices[1]?.message).toEqual(second.message);
  });
  it('a stop string spanning tokens, with and without itself', async () => {
    const said = await saying('The wea', 'ther in Lon', 'don is fine');
    const body = { messages: hello, ...said, stop: ['nothing', 'in London'] };
    expect(one((await run(body)).choices)).toMatchObject({
      message: { content: 'The weather ' },
      finish_reason: 'stop',
      stop_reason: 'in London',
    });
    const kept = one((await run({ ...body, include_stop_str_in_output: true })).choices);
    expect(kept.message.content).toBe('The weather in London');
  });
  it('stop_token_ids, min_tokens and logit_bias', async () => {
    const [x = 0] = await ai.tokenize('x');
    const [end = 0] = await ai.tokenize('<|im_end|>');
    const only = (id: number): Partial<ChatBody> => ({ logit_bias: { [id]: 100 }, temperature: 0 });
    const stopped = await run({ messages: hello, ...only(x), stop_token_ids: [x] });
    expect(one(stopped.choices)).toMatchObject({ finish_reason: 'stop', stop_reason: x });
    const late = { ...only(end), min_tokens: 3, ignore_eos: false };
    expect((await ids(late))[0]?.indexOf(end)).toBe(3);
    expect(await ids(only(x))).toEqual([Array.from({ length: 8 }, () => x)]);
    const [[best = 0] = []] = await ids({ temperature: 0 });
    expect((await ids({ temperature: 0, logit_bias: { [best]: -100 } }))[0]).not.toContain(best);
    expect(await refusal({ messages: hello, logit_bias: { 151936: 1 } })).toMatchObject({
      status: 400,
      param: 'logit_bias',
    });
  });
  it('log-probabilities, of the end too, whole and streamed, by text or by id', async () => {
    const said = await saying('Grüße');
    const body = { messages: hello, ...said, logprobs: true, top_logprobs: 2 };
    const entries = one((await run(body)).choices).logprobs?.content ?? [];
    expect(entries.length).toBe(said.forced_token_ids.length);
    expect(entries.at(-1)?.token).toBe('<|im_end|>');
    for (const entry of entries) {
      expect(Object.keys(entry)).toEqual(['token', 'logprob', 'bytes', 'top_logprobs']);
      expect(entry.top_logprobs.length).toBe(2);
      expect(entry.logprob).toBeLessThanOrEqual(entry.top_logprobs[0]?.logprob ?? NaN);
    }
    const bytes = entries.slice(0, -1).flatMap((entry) => entry.bytes ?? []);
    expect(Buffer.from(bytes).toString()).toBe('Grüße');
    const chunks = await streamed(body);
    expect(chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])).toEqual(entries);
    const named = await run({ ...body, return_tokens_as_token_ids: true });
    expect(one(named.choices).logprobs?.content.map(({ token }) => token)).toEqual(
      said.forced_token_ids.map((id) => `token_id:${id}`),
    );
    expect(one((await run({ messages: hello, max_tokens: 1 })).choices).logprobs).toBeNull();
    expect(await refusal({ ...body, top_logprobs: 21, stream: true })).toMatchObject({
      status: 400,
    });
  });
  it('prompt_logprobs: the first is null, each other has the token itself', async () => {
    const body = { messages: hello, max_tokens: 1, prompt_logprobs: 1, return_token_ids: true };
    const { prompt_logprobs, prompt_token_ids = [] } = await run(body);
    expect(prompt_logprobs?.length).toBe(prompt_token_ids.length);
    const [first, ...others] = (prompt_logprobs ?? []) as Record<string, object>[];
    expect(first).toBeNull();
    for (const [i, entry] of others.entries())
      expect(Object.keys(entry[String(prompt_token_ids[i + 1])] ?? {})).toEqual([
        'logprob',
        'rank',
        'decoded_token',
      ]);
    expect((await run({ messages: hello, max_tokens: 1 })).prompt_logprobs).toBeNull();
    for (const wrong of [{ prompt_logprobs: -1 }, { prompt_logprobs: 1, stream: true }])
      expect(await refusal({ messages: hello, ...wrong })).toMatchObject({
        param: 'prompt_logprobs',
      });
  });
  it('echo and continue_final_message', async () => {
    const messages = [...hello, { role: 'assistant', content: 'Well, ' }];
    const body = { messages, continue_final_message: true, echo: true, ...(await saying('yes')) };
    expect((await prompt({ messages, continue_final_message: true })).text).toMatch(/Well, $/);
    expect(one((await run(body)).choices).message.content).toBe('Well, yes');
    const contents = (await streamed(body)).map(({ choices }) => choices[0]?.delta.content);
    expect(contents.slice(0, 2)).toEqual(['', 'Well, ']);
    expect(contents.join('')).toBe('Well, yes');
    expect(await refusal({ ...body, add_generation_prompt: true })).toMatchObject({ status: 400 });
  });
});
