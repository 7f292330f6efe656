// Programs bundled into one file by esbuild: the package's own files (module, workers, embedded model) are copied beside it,
// and `files` says where. In Chromium, in an isolated page and in another, and in Node. Surprise: a bundle's import.meta.url
// is its own, so without `files` nothing would be found.
import { build } from 'esbuild';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { found, program, root, runtime } from './runtime.ts';

interface Browser {
  inBrowser(options: object): Promise<{ text: string; variant: string }>;
  isolation: Record<string, string>;
}
const { inBrowser, isolation } = (await import(
  join(root, 'tests/browser/browser.mjs') as string
)) as Browser;

const folder = join(found.project, 'bundle');
const question = `{ messages: [{ role: 'user', content: 'What is the capital of France?' }], temperature: 0 }`;
const asking = (files: string): string => `
  import { createAI } from 'ocelli';
  const ai = createAI({ files: ${files}, threads: 2 });
  const stream = await ai.run(null, { ...${question}, stream: true });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  const { variant } = await ai.info();
`;
const page = `${asking("'/ocelli/'")}
  await fetch('/result', { method: 'POST', body: JSON.stringify({ text, variant }) });
`;
const script = `${asking('process.argv[2]')}
  console.log(JSON.stringify({ text, variant }));
`;

beforeAll(async () => {
  mkdirSync(folder, { recursive: true });
  const html = '<!doctype html><title>bundle</title><script type="module" src="/page.js"></script>';
  writeFileSync(join(folder, 'page.html'), html);
  for (const [name, contents] of Object.entries({ page, script })) {
    const { warnings } = await build({
      stdin: { contents, resolveDir: found.project },
      bundle: true,
      minify: true,
      format: 'esm',
      target: 'es2022',
      platform: name === 'page' ? 'browser' : 'node',
      outfile: join(folder, `${name}.js`),
      logLevel: 'silent',
    });
    expect(warnings).toEqual([]);
  }
});

const home = join(found.project, 'node_modules/ocelli');
const expected = found.expected['text, whole']?.text;

describe('in Chromium', () => {
  it.each([
    ['an isolated page', isolation, 'mt-relaxed'],
    ['a page', {}, 'st-relaxed'],
  ])('%s', async (_, headers, variant) => {
    const told = await inBrowser({
      path: runtime('chromium').path,
      page: '/page.html',
      options: {},
      minutes: 4,
      roots: { '/ocelli/': `${home}/`, '/': `${folder}/` },
      with: {
        ...headers,
        'Content-Security-Policy':
          "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'",
      },
    });
    expect(told).toEqual({ text: expected, variant });
  });
});

it('in Node', async () => {
  const words = [join(folder, 'script.js'), pathToFileURL(home).href];
  const { code, out, err } = await program(process.execPath, words);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(JSON.parse(out)).toMatchObject({ text: expected });
});

it('says what is lacking without `files`', async () => {
  const { code, err } = await program(process.execPath, [join(folder, 'script.js')]);
  expect(code).toBe(1);
  expect(err).toMatch(/thread.entry\.js; in a bundled program `files` has to say/);
});
