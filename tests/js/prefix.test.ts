// Prompts that begin alike, through AI.run: the second one's usage tells what it has taken over, where it was asked to,
// and nothing else of its answer tells.
import { describe, expect, it } from 'vitest';
import type { ChatCompletion, EngineEvent } from '../../js/index.ts';
import { bitmap, variantNames, modelForTests } from './real_model.ts';

const ours = modelForTests({ context: 1024 });
const { ai } = ours;
const about = (text: string) => ({
  messages: [
    {
      role: 'user',
      content: [
        { type: 'image' as const, image: bitmap(140, 140) },
        { type: 'text' as const, text },
      ],
    },
  ],
  temperature: 0,
  max_tokens: 8,
  ignore_eos: true,
  logprobs: true,
});
const cachedIn = ({ usage }: ChatCompletion) => usage.prompt_tokens_details?.cached_tokens;

describe.each(variantNames)('%s', (variant) => {
  it('a second question about a picture takes it over, whole and streamed', async () => {
    const one = ai({ variant, promptTokensDetails: true });
    const plain = ai({ variant, prefixCache: false, promptTokensDetails: true });
    expect(cachedIn(await one.run(null, about('What is this?')))).toBe(0);
    const question = about('How large is it?');
    const expected = await plain.run(null, question);
    expect(cachedIn(expected)).toBe(0);
    expect(cachedIn(await plain.run(null, question))).toBe(0);

    const stages = new Set<string>();
    const onEvent = (event: EngineEvent): void => {
      if (event.type === 'progress') stages.add(event.stage);
    };
    const whole = await one.run(null, question, { onEvent });
    expect(cachedIn(whole)).toBeGreaterThan(25);
    expect(whole.choices).toEqual(expected.choices);
    expect([...stages]).not.toContain('vision');

    const { usage } = await one.run(null, question); // this time all of it but the last block
    expect(usage.prompt_tokens_details?.cached_tokens).toBe(48);
    const stream = await one.run(null, {
      ...question,
      stream: true,
      stream_options: { include_usage: true },
    });
    const usages = [];
    for await (const chunk of stream) if (chunk.usage) usages.push(chunk.usage);
    expect(usages).toEqual([usage]);
  });

  it('usage tells nothing of it unless asked', async () => {
    const one = ai({ variant });
    for (let i = 0; i < 2; i++)
      expect((await one.run(null, about('?'))).usage.prompt_tokens_details).toBeNull();
    const stats = (await one.stats()) as { prefix_hits: number };
    expect(stats.prefix_hits).toBeGreaterThan(25);
  });

  it('a dump has all rows, however often the prompt came', async () => {
    const one = ai({ variant });
    const dumps: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      const onEvent = (event: EngineEvent): void => {
        if (event.type === 'dump') dumps.push(event.files);
      };
      await one.run(null, about('?'));
      await one.run(null, about('?'), { dump: true, onEvent });
    }
    expect(dumps).toHaveLength(2);
    expect(dumps[1]).toEqual(dumps[0]);
  });
});

it('the options are booleans', () => {
  expect(() => ai({ prefixCache: 1 as never })).toThrow(/prefixCache/);
  expect(() => ai({ promptTokensDetails: 'yes' as never })).toThrow(/promptTokensDetails/);
});
