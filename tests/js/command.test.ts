// The command `ocelli` as other tools use it: what goes in, what comes out, where, and with which exit status.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, symlinkSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bitmap, ocelli, randomModel, removal, root } from './real_model.ts';

let made: Awaited<ReturnType<typeof randomModel>>;
let image = '';
beforeAll(async () => {
  made = await randomModel();
  image = join(made.folder, 'image.bmp');
  writeFileSync(image, bitmap(84, 112));
  return removal(made.folder);
});
const body = {
  messages: [{ role: 'user', content: 'Hello' }],
  max_tokens: 5,
  temperature: 0,
  ignore_eos: true,
};
const file = (name: string, text: string): string => {
  const path = join(made.folder, name);
  writeFileSync(path, text);
  return path;
};

describe('ocelli run', () => {
  it('streams text to standard output and nothing else', async () => {
    const ended = await ocelli([
      'run',
      'Hello',
      '--model',
      made.model,
      '--max-tokens',
      '6',
      '--temperature',
      '0',
    ]);
    expect([ended.code, ended.err]).toEqual([0, '']);
    expect(ended.out.endsWith('\n')).toBe(true);
    const again = await ocelli(
      ['run', '--model', made.model, '--max-tokens=6', '--temperature=0', '--verbose'],
      'Hello',
    );
    expect(again.out).toBe(ended.out);
    expect(again.err).toMatch(/\d+ prompt tokens, first token after .* s, \d+ tokens/);
  });

  it('answers a body from a file or standard input', async () => {
    const path = file('body.json', JSON.stringify({ ...body, model: 'anything' }));
    const first = await ocelli(['run', '--model', made.model, '--request', path]);
    expect([first.code, first.err]).toEqual([0, '']);
    const answer = JSON.parse(first.out);
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'anything',
      usage: { completion_tokens: 5 },
    });
    const second = await ocelli(
      ['run', '--model', made.model, '--request', '-'],
      readFileSync(path, 'utf8'),
    );
    expect(JSON.parse(second.out).choices).toEqual(answer.choices);
  });

  it('prints SSE lines when the body says stream', async () => {
    const ended = await ocelli(
      ['run', '--model', made.model, '--request', '-'],
      JSON.stringify({ ...body, stream: true }),
    );
    expect(ended.out.endsWith('data: [DONE]\n\n')).toBe(true);
    const events = ended.out.split('\n\n').slice(0, -2);
    const chunks = events.map((line) => JSON.parse(line.replace(/^data: /, '')));
    expect(chunks[0].choices[0].delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.at(-1).choices[0]).toMatchObject({
      delta: { content: '' },
      finish_reason: 'length',
    });
  });

  it('shows tools in the prompt with the numbers as they were spelled', async () => {
    const tool =
      '{"type":"function","function":{"name":"f","parameters":{"minimum":1.0,"big":12345678901234567890}}}';
    const text = `{"messages":[{"role":"user","content":"x"}],"tools":[${tool}],"max_tokens":1,"return_token_ids":true}`;
    const ended = await ocelli(['run', '--model', made.model, '--request', '-'], text);
    const shown = '"parameters": {"minimum": 1.0, "big": 12345678901234567890}';
    const ids = JSON.parse(
      (await ocelli(['tokenize', '--model', made.model, shown])).out,
    ) as number[];
    expect(JSON.parse(ended.out).prompt_token_ids.join()).toContain(ids.slice(1, -2).join());
  });

  it('takes what the body does not say from the options', async () => {
    const rest = { ...body, max_tokens: undefined };
    const ended = await ocelli(
      ['run', '--model', made.model, '--request', '-', '--max-tokens', '2'],
      JSON.stringify(rest),
    );
    expect(JSON.parse(ended.out).usage.completion_tokens).toBe(2);
    const both = await ocelli(
      ['run', '--model', made.model, '--request', '-', '--max-tokens', '2'],
      JSON.stringify(body),
    );
    expect(JSON.parse(both.out).usage.completion_tokens).toBe(5);
  });

  it('forces tokens and reports their log-probabilities', async () => {
    const forced = { ...body, forced_token_ids: [5, 6, 7], logprobs: true, return_token_ids: true };
    const ended = await ocelli(
      ['run', '--model', made.model, '--request', '-'],
      JSON.stringify(forced),
    );
    const [choice] = JSON.parse(ended.out).choices;
    expect(choice.token_ids).toEqual([5, 6, 7]);
    expect(choice.logprobs.content.length).toBe(3);
  });

  it('dumps the prompt and the vision rows', async () => {
    const dump = join(made.folder, 'dump');
    const words = [
      'run',
      'What?',
      '--image',
      image,
      '--model',
      made.model,
      '--max-tokens',
      '1',
      '--dump',
      dump,
    ];
    expect(await ocelli(words)).toMatchObject({ code: 0, err: '' });
    const prompt = JSON.parse(readFileSync(join(dump, 'prompt.json'), 'utf8'));
    expect(Object.keys(prompt)).toEqual([
      'prompt_token_ids',
      'image_grid_thw',
      'video_grid_thw',
      'positions',
      'rope_delta',
    ]);
    const [, height, width] = prompt.image_grid_thw[0];
    expect(prompt.positions.map((axis: number[]) => axis.length)).toEqual(
      [1, 1, 1].map(() => prompt.prompt_token_ids.length),
    );
    const bytes = readFileSync(join(dump, 'vision_0.npy'));
    const header = bytes.toString('latin1', 10, 10 + bytes.readUInt16LE(8));
    const rows = (height * width) / 4;
    expect([...bytes.subarray(0, 8)]).toEqual([0x93, ...Buffer.from('NUMPY'), 1, 0]);
    expect(header).toMatch(
      new RegExp(
        `^\\{'descr': '<f4', 'fortran_order': False, 'shape': \\(${rows}, 256\\), \\} *\\n$`,
      ),
    );
    expect((10 + header.length) % 64).toBe(0);
    expect(bytes.length).toBe(10 + header.length + 4 * rows * 256);
  });

  it('answers many bodies in their order, each failure in its place', async () => {
    const lines = [body, { ...body, messages: [] }, { ...body, max_tokens: 2 }].map((one) =>
      JSON.stringify(one),
    );
    const ended = await ocelli(
      ['run', '--model', made.model, '--requests', '-', '--parallel', '3'],
      `${lines.join('\n')}\n`,
    );
    const answers = ended.out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(ended.code).toBe(1);
    expect(answers.map((one) => one.usage?.completion_tokens ?? one.error.code)).toEqual([
      5, 400, 2,
    ]);
  });

  it.each([
    [
      'a body that is not JSON',
      ['--request', '-'],
      '{"messages"',
      /invalid_json: the request is not JSON/,
    ],
    ['a body that is wrong', ['--request', '-'], '{"messages":[]}', /messages/],
    ['a missing file', ['--request', '/nowhere.json'], '', /\/nowhere\.json cannot be read/],
    ['a missing image', ['x', '--image', '/nowhere.png'], '', /nowhere\.png cannot be read/],
    [
      'a missing model',
      ['x', '--model', '/nowhere'],
      '',
      /\/nowhere\/manifest\.json cannot be read/,
    ],
    ['a context that is too large', ['x', '--context', '100000000'], '', /context/],
  ])('ends with 1 for %s', async (_, words, input, message) => {
    const model = words.includes('--model') ? [] : ['--model', made.model];
    const ended = await ocelli(['run', ...words, ...model], input);
    expect([ended.code, ended.out]).toEqual([1, '']);
    expect(ended.err).toMatch(message);
    expect(ended.err).not.toMatch(/\n\s+at /);
  });
});

describe('wrong usage ends with 2', () => {
  it.each([
    [[], /a command is needed/],
    [['fly'], /there is no command "fly"/],
    [['run', 'a', 'b'], /unexpected operand "b"/],
    [['run', '--fast'], /--fast/],
    [['run', 'a', '--request', 'b'], /exclude each other/],
    [['run', 'a', '--max-tokens', '0'], /--max-tokens is "0"; it must be an integer, at least 1/],
    [['run', 'a', '--variant', 'best'], /--variant is "best"; it must be one of mt-relaxed/],
    [['run', 'a', '--template', 'llama'], /--template is "llama"; it must be one of qwen, hermes/],
    [['serve', '--origin', 'nope'], /--origin is "nope"; it must be an origin/],
    [['serve', '--origin', 'https://a.example/page'], /--origin is "https:\/\/a\.example\/page"/],
    [['serve', '--image-host', ''], /--image-host is ""; it must be the name or address/],
    [['serve', '--image-host', 'a.example', '--image-host', 'https://b'], /is "https:\/\/b"/],
    [['serve', '--api-key', ''], /--api-key is ""; it must be text/],
    [['convert', 'a'], /2 operands are needed, got 1/],
    [['convert', 'a', 'b', '--linear', 'int3'], /--linear is "int3"/],
  ])('%j', async (words, message) => {
    const ended = await ocelli(words);
    expect([ended.code, ended.out]).toEqual([2, '']);
    expect(ended.err).toMatch(message);
  });

  it('while --help ends with 0', async () => {
    for (const words of [
      ['--help'],
      ...['run', 'serve', 'convert', 'synth', 'inspect', 'tokenize', 'bench'].map((name) => [
        name,
        '--help',
      ]),
    ]) {
      const ended = await ocelli(words);
      expect([ended.code, ended.err]).toEqual([0, '']);
      expect(ended.out).toMatch(/^usage: ocelli/);
    }
  });
});

it('ocelli tokenize prints ids, with added tokens as one', async () => {
  const whole = JSON.parse(
    (await ocelli(['tokenize', '--model', made.model, 'a<|im_end|>'])).out,
  ) as number[];
  const plain = JSON.parse(
    (await ocelli(['tokenize', '--model', made.model, '-'], 'a')).out,
  ) as number[];
  expect(whole.length).toBe(plain.length + 1);
  expect(whole.slice(0, -1)).toEqual(plain);
});

it('ocelli inspect shows sizes and the plan', async () => {
  const shown = JSON.parse(
    (await ocelli(['inspect', made.model, '--json', '--context', '512'])).out,
  );
  const bytes = readdirSync(made.model)
    .filter((name) => name.endsWith('.safetensors'))
    .reduce((sum, name) => sum + readFileSync(join(made.model, name)).length, 0);
  expect(shown).toMatchObject({
    weights_bytes: bytes,
    plan: { context: 512 },
    precision: { linear: 'u4' },
  });
  const page = (await ocelli(['inspect', made.model])).out;
  expect(page).toMatch(/memory plan:/);
  expect(page).toMatch(/memory_bytes_max +4096\.0 MiB/);
  expect(shown.plan.memory_bytes_max).toBe(2 ** 32);
});

it('ocelli convert follows links and gives the same bytes each time', async () => {
  const links = join(made.folder, 'snapshots', 'abc');
  mkdirSync(links, { recursive: true });
  for (const name of readdirSync(made.source))
    symlinkSync(join('../..', 'awq', name), join(links, name));
  const out = join(made.folder, 'linked');
  expect(
    (await ocelli(['convert', links, out, '--shard-mib', '1', '--name', 'awq', '--quiet'])).code,
  ).toBe(0);
  expect(readdirSync(out).sort()).toEqual(readdirSync(made.model).sort());
  const failed = await ocelli([
    'convert',
    join(made.folder, 'snapshots'),
    join(made.folder, 'none'),
    '--quiet',
  ]);
  expect(failed.code).toBe(1);
  expect(readdirSync(made.folder)).not.toContain('none');
});

describe('what a killed conversion left', () => {
  const target = (): string => join(made.folder, 'again');
  const beside = (): string[] =>
    readdirSync(made.folder).filter((name) => name.startsWith('again'));
  const command = (): string[] => ['convert', made.source, target(), '--shard-mib', '1'];

  /** A conversion that was stopped in the middle by a signal, and its partial folder. */
  async function halted(signal: 'SIGKILL' | 'SIGSTOP'): Promise<[ChildProcess, string]> {
    for (;;) {
      const before = beside();
      const child = spawn(process.execPath, [join(root, 'build/js/cli/main.js'), ...command()]);
      const late = Date.now() + 30_000;
      while (beside().length === before.length && Date.now() < late); // no timer is as quick
      child.kill(signal);
      if (signal === 'SIGKILL') await once(child, 'exit');
      else await new Promise((done) => setTimeout(done, 100));
      const made = beside().find((name) => !before.includes(name)) ?? '';
      if (made !== 'again') return [child, made];
      rmSync(target(), { recursive: true }); // it was done before the signal came
      child.kill('SIGKILL');
    }
  }

  it('is removed by the next one, but not what a live one writes', async () => {
    const [live, alive] = await halted('SIGSTOP');
    const [, dead] = await halted('SIGKILL');
    expect(dead).toMatch(/^again\.partial-[0-9a-f]{8}-\d+-[0-9a-f]{8}$/);
    const elsewhere = ['again.partial-00000000-1-00000000', 'again.partial-0123abcd'];
    for (const name of [...elsewhere, 'again.partial-mine']) mkdirSync(join(made.folder, name));
    const ended = await ocelli(command());
    expect(ended.code).toBe(0);
    expect(ended.err).toContain(`${dead}, left by a conversion that was killed`);
    for (const name of elsewhere)
      expect(ended.err).toContain(`${name} is of a conversion elsewhere`);
    expect(ended.err).not.toContain('mine');
    // The live one, which finds the place taken when it goes on, the three that nobody may touch, and the container.
    expect(beside().length).toBe(5);
    expect(beside()).toContain(alive);
    expect(beside()).not.toContain(dead);
    live.kill('SIGCONT');
    expect((await once(live, 'exit'))[0]).toBe(1);
    expect(beside().sort()).toEqual(['again', ...elsewhere, 'again.partial-mine'].sort());
  });
});
