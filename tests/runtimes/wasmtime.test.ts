// examples/wasmtime: the single-thread modules of the installed package in wasmtime, with a host in Python. Surprise: there
// is no AI.run here; what is compared is put together from the core's events.
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EngineEvent } from '../../js/index.ts';
import {
  type Ended,
  expectSame,
  found,
  program,
  root,
  runtime,
  titled,
  type Told,
} from './runtime.ts';

const home = join(found.project, 'node_modules/ocelli');
const script = join(found.project, 'host.py');
const container = join(home, 'models/demo/container');

function host(words: readonly string[]): Promise<Ended> {
  cpSync(join(root, 'examples/wasmtime/main.py'), script);
  return program('python3', [script, ...words], { env: { PYTHONPATH: runtime('wasmtime').path } });
}

/** What must be the same everywhere, from the events of one request. */
function answerOf(lines: string, streamed: boolean): Told['answers'][string] {
  const events = lines
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as EngineEvent);
  let text = '';
  let chunks = 0;
  let finish = '';
  let prompt: number[] | undefined;
  const tokens: number[] = [];
  const content: unknown[] = [];
  let usage: object | undefined;
  for (const event of events) {
    if (event.type === 'prompt') prompt = event.prompt_token_ids;
    if (event.type === 'delta') {
      text += event.text ?? '';
      if (event.text) chunks++;
      tokens.push(...(event.token_ids ?? []));
      content.push(...(event.logprobs ?? []));
    }
    if (event.type === 'finish') finish = event.reason;
    if (event.type !== 'done') continue;
    const { prompt_tokens: before, completion_tokens: after } = event.usage;
    usage = { prompt_tokens: before, total_tokens: before + after, completion_tokens: after };
    usage = { ...usage, prompt_tokens_details: null };
  }
  const answer = { text, finish, prompt, tokens, logprobs: { content } };
  return streamed ? { ...answer, chunks } : { ...answer, ...(usage && { usage }) };
}

const { questions } = (await import(join(root, 'tests/runtimes/questions.mjs') as string)) as {
  questions(
    picture: string,
  ): Record<string, { stream?: boolean; messages: { content: unknown }[] }>;
};

describe.each(['st-simd128', 'st-relaxed'])('%s', (variant) => {
  const module = join(home, 'build/wasm', variant, 'ocelli.wasm');

  it('answers as everywhere', async () => {
    const ask = async (): Promise<Told> => {
      const answers: Told['answers'] = {};
      for (const [name, body] of Object.entries(questions(''))) {
        for (const message of body.messages)
          if (Array.isArray(message.content)) message.content[0] = { type: 'image' };
        const image = name.startsWith('image') ? [found.picture] : [];
        const ended = await host([module, container, JSON.stringify(body), ...image, '--events']);
        expect({ code: ended.code, err: ended.err }).toEqual({ code: 0, err: '' });
        answers[name] = answerOf(ended.out, body.stream === true);
      }
      return { answers, variant, threads: 1 };
    };
    await expectSame({ runtime: titled('wasmtime'), how: `Python host, ${variant}` }, ask);
  });

  it('writes an answer as text', async () => {
    const ended = await host([module, container]);
    expect(ended).toEqual({ code: 0, out: 'The capital of France is Paris.\n', err: '' });
  });
});

it('says what is wrong: a request, a damaged shard', async () => {
  const module = join(home, 'build/wasm/st-simd128/ocelli.wasm');
  const empty = await host([module, container, '{"messages": []}']);
  expect(empty).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringMatching(/^ocelli: .*messages/) as string,
  });

  const damaged = join(found.project, 'damaged');
  cpSync(container, damaged, { recursive: true });
  const { shards } = JSON.parse(readFileSync(join(container, 'manifest.json'), 'utf8')) as {
    shards: { sha256: string; bytes: number }[];
  };
  const [shard] = shards;
  writeFileSync(join(damaged, `${shard?.sha256}.safetensors`), new Uint8Array(shard?.bytes ?? 0));
  const ended = await host([module, damaged]);
  expect(ended).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringMatching(/^ocelli: .*sha256/) as string,
  });
});
