// The installed package in Debian's Chromium and Firefox, headless: in pages that may share memory between threads and in
// pages that may not, in the page's thread and in a worker of it, under a strict content-security-policy. Surprise: the
// pages themselves post what they found, so nothing drives the browsers.
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSame, found, root, runtime, titled, type Told } from './runtime.ts';

interface Browser {
  inBrowser(options: object): Promise<Told & { isolated: boolean; agent: string }>;
  isolation: Record<string, string>;
}
const { inBrowser, isolation } = (await import(
  join(root, 'tests/browser/browser.mjs') as string
)) as Browser;

const policy =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

beforeAll(() => {
  cpSync(join(import.meta.dirname, 'pages'), join(found.project, 'pages'), { recursive: true });
});

const cases = [
  { how: 'isolated page', isolated: true, variant: 'mt-relaxed', threads: 2 },
  { how: 'page', isolated: false, variant: 'st-relaxed', threads: 1 },
  {
    how: 'isolated, in its worker',
    where: 'worker',
    isolated: true,
    variant: 'mt-relaxed',
    threads: 2,
  },
  { how: 'in its worker', where: 'worker', isolated: false, variant: 'st-relaxed', threads: 1 },
  {
    how: 'in its worker, inline',
    where: 'worker',
    isolated: false,
    options: { thread: 'inline' },
    variant: 'st-relaxed',
    threads: 1,
  },
  {
    how: 'mt-simd128 forced',
    isolated: true,
    options: { variant: 'mt-simd128' },
    variant: 'mt-simd128',
    threads: 2,
  },
  {
    how: 'st-simd128 forced',
    isolated: false,
    options: { variant: 'st-simd128' },
    variant: 'st-simd128',
    threads: 1,
  },
];

const agents = { chromium: /Chrome\//, firefox: /Firefox\// };

describe.each(['chromium', 'firefox'] as const)('%s', (name) => {
  const open = (
    where: string,
    options: object,
    headers: object,
    more: { starts?: number; asked?: (path: string) => void } = {},
  ): ReturnType<Browser['inBrowser']> =>
    inBrowser({
      ...{ browser: name, path: runtime(name).path, page: '/pages/page.html', minutes: 4 },
      options: { where, options: { threads: 2, ...options }, starts: more.starts },
      asked: more.asked,
      roots: { '/': found.project },
      overlay: { '/picture.png': found.picture },
      with: headers,
    });

  it.each(cases)('$how', async ({ how, where = 'page', isolated, options, variant, threads }) => {
    const headers = { ...(isolated && isolation), 'Content-Security-Policy': policy };
    await expectSame({ runtime: titled(name), how }, () => open(where, options ?? {}, headers), {
      isolated,
      variant,
      threads,
      agent: expect.stringMatching(agents[name]) as string,
    });
  });

  it.each([
    ['auto', true, 1],
    ['auto', false, 1],
    ['opfs', false, 1],
    ['cache-api', false, 1],
    ['none', false, 2],
  ])(
    'two starts, cache %s, isolated %s: fetches weights %i times',
    async (cache, isolated, times) => {
      const paths: string[] = [];
      const asked = (path: string): void => void paths.push(path);
      const headers = isolated ? isolation : {};
      await open('page', { cache }, headers, { starts: 2, asked });
      expect(paths.filter((path) => path.endsWith('.safetensors')).length).toBe(times);
    },
  );

  it('needs wasm-unsafe-eval, so the policy of the other tests is in force', async () => {
    const headers = { 'Content-Security-Policy': policy.replace(" 'wasm-unsafe-eval'", '') };
    await expect(open('page', {}, headers)).rejects.toThrow(/Security.?Policy|CSP/i);
  });
});
