// The installed package in Node 20, 22, 24 and 26, Deno and Bun: every build that runs there, in a worker and in the
// calling thread. Surprise: that these programs end at all is part of the test; nothing closes the engine.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { asked, expectSame, found, program, root, runtime, titled } from './runtime.ts';

const hosts = [
  { name: 'node 20', words: [], relaxed: false },
  { name: 'node 22', words: [], relaxed: true },
  { name: 'node 24', words: [], relaxed: true },
  { name: 'node 26', words: [], relaxed: true },
  { name: 'deno', words: ['run', '--no-prompt', '--allow-read'], relaxed: true },
  { name: 'bun', words: [], relaxed: true },
];

describe.each(hosts)('$name', ({ name, words, relaxed }) => {
  const ask = (options: object) => asked(runtime(name).path, [...words, 'ask.mjs'], options);
  const row = (how: string) => ({ runtime: titled(name), how });

  it('is the real one', async () => {
    const { out } = await program(runtime(name).path, ['--version']);
    expect(out).toContain(runtime(name).version);
  });

  it('answers with the best build, in a worker with two threads', async () => {
    const like = { variant: relaxed ? 'mt-relaxed' : 'mt-simd128', threads: 2 };
    await expectSame(row('worker'), () => ask({ threads: 2 }), like);
  });

  it('answers in the calling thread', async () => {
    const like = { variant: relaxed ? 'st-relaxed' : 'st-simd128', threads: 1 };
    await expectSame(row('inline'), () => ask({ thread: 'inline' }), like);
  });

  it('answers in the calling thread with two threads', async () => {
    const like = { variant: relaxed ? 'mt-relaxed' : 'mt-simd128', threads: 2 };
    const options = { thread: 'inline', threads: 2 };
    await expectSame(row('inline, two threads'), () => ask(options), like);
  });

  it.each(['mt-simd128', 'st-simd128'])('answers with %s when asked to', async (variant) => {
    await expectSame(row(`${variant} forced`), () => ask({ variant, threads: 2 }), { variant });
  });

  it('runs examples/node', async () => {
    cpSync(join(root, 'examples/node/main.mjs'), join(found.project, 'example.mjs'));
    const url = pathToFileURL(found.picture).href;
    const ended = await program(runtime(name).path, [...words, 'example.mjs', url]);
    expect(ended).toMatchObject({ code: 0, err: '' });
    expect(ended.out).toMatch(/^The image shows .*\.\n$/);
  });
});

it('a build that a runtime cannot run is refused by name', async () => {
  const script = `import { createAI } from 'ocelli';
    await createAI({ variant: 'st-relaxed' }).info().catch(({ code, message }) => console.log(code, message));`;
  const words = ['--input-type=module', '--eval', script];
  const { out } = await program(runtime('node 20').path, words);
  expect(out).toBe('no_variant variant st-relaxed cannot run: this host has no relaxed SIMD\n');
});
