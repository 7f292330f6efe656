// The life of an engine in Chromium's tabs: workers that end, tabs that are hidden, frozen, left and returned to, two engines
// in one page, and what many openings leave behind. Surprise: a tab is frozen and a worker counted from outside, over the
// debugging protocol (tests/browser/driver.mjs).
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { found, root, runtime } from './runtime.ts';

interface Tab {
  targetId: string;
  send(method: string, parameters?: object): Promise<unknown>;
  run<T>(code: string): Promise<T>;
  goTo(url: string): Promise<void>;
  ready(url: string): Promise<void>;
  close(): Promise<unknown>;
}
interface Browser {
  pid: number;
  send<T>(method: string, parameters?: object): Promise<T>;
  tab(url: string): Promise<Tab>;
  close(): Promise<void>;
}
interface Counts {
  mib: number;
  threads: number;
  files: number;
  workers: number;
}
interface Files {
  serveFiles(options: object): Promise<{ origin: string; close(): void }>;
  isolation: Record<string, string>;
}
const load = async <T>(path: string): Promise<T> => (await import(join(root, path))) as T;
const { serveFiles, isolation } = await load<Files>('tests/browser/browser.mjs');
const { driveChromium } = await load<{ driveChromium(path: string): Promise<Browser> }>(
  'tests/browser/driver.mjs',
);
const { openAndCloseInTab } = await load<{
  openAndCloseInTab(browser: Browser, tab: Tab, cycles: number, options: object): Promise<Counts[]>;
}>('tests/browser/counts.mjs');

let browser: Browser;
let server: { origin: string; close(): void };
let plain: { origin: string; close(): void };
let tab: Tab;
beforeAll(async () => {
  cpSync(join(import.meta.dirname, 'pages'), join(found.project, 'pages'), { recursive: true });
  const roots = { '/': found.project };
  // What may not be stored is not kept when one leaves it.
  const kept = { 'Cache-Control': 'no-cache' };
  server = await serveFiles({ roots, with: { ...isolation, ...kept } });
  plain = await serveFiles({ roots, with: kept });
  browser = await driveChromium(runtime('chromium').path);
});
afterAll(async () => {
  await browser?.close();
  server?.close();
  plain?.close();
});
afterEach(async () => {
  await tab?.close();
});

const page = (how: 'isolated' | 'plain' = 'isolated'): string =>
  `${(how === 'isolated' ? server : plain).origin}/pages/life.html`;
const until = async (code: string): Promise<void> => {
  while (!(await tab.run<boolean>(`return ${code}`)))
    await new Promise((done) => setTimeout(done, 50));
};

describe.each(['isolated', 'plain'] as const)('%s page', (how) => {
  it('a worker that is ended rejects what is pending, and the next run has a fresh one', async () => {
    tab = await browser.tab(page(how));
    const said = await tab.run(`
      life.open('one', {});
      await life.ask('one');
      const whole = life.ask('one', 1000);
      const stream = await life.stream('one', 1000);
      life.workers[0].terminate();
      return [await whole, await stream.done, await life.ask('one'), life.workers.length];`);
    const crashed = '500 engine_crashed the engine stopped: its worker was ended';
    expect(said).toEqual([crashed, crashed, 3, 2]);
  });

  it('two engines answer at once, and each is closed alone', async () => {
    tab = await browser.tab(page(how));
    const said = await tab.run(`
      life.open('one', {});
      life.open('two', {});
      const both = await Promise.all([life.ask('one', 5), life.ask('two', 7)]);
      const stream = await life.stream('two', 200);
      await life.one.close();
      return [...both, await stream.done, await life.ask('two'), await life.ask('one', 4)];`);
    expect(said).toEqual([5, 7, 'whole', 3, 4]);
  });

  it('an idle engine is unloaded with its worker, and opened again', async () => {
    tab = await browser.tab(page(how));
    await tab.run(`life.open('one', { idleUnloadMs: 100 }); return await life.ask('one');`);
    await tab.send('Target.setAutoAttach', {
      ...{ autoAttach: true, waitForDebuggerOnStart: false, flatten: true },
    });
    const workers = async (): Promise<number> => {
      const { targetInfos } = await browser.send<{ targetInfos: { type: string }[] }>(
        'Target.getTargets',
        { filter: [{}] },
      );
      return targetInfos.filter(({ type }) => type === 'worker').length;
    };
    while ((await workers()) > 0) await new Promise((done) => setTimeout(done, 50));
    expect(await tab.run(`return await life.ask('one');`)).toBe(3);
  });
});

describe('a tab', () => {
  it('that is hidden goes on with a stream', async () => {
    tab = await browser.tab(page());
    await tab.run(`life.open('one', {}); await life.stream('one', 400); return 1;`);
    const other = await browser.tab(page());
    await browser.send('Target.activateTarget', { targetId: other.targetId });
    await until(`document.visibilityState === 'hidden'`);
    expect(await tab.run(`return await life.streamed.done;`)).toBe('whole');
    // And one that begins there.
    expect(await tab.run(`return await life.ask('one', 20);`)).toBe(20);
    await other.close();
  });

  it('that was frozen goes on with a stream when it is resumed', async () => {
    tab = await browser.tab(page());
    await tab.run(`life.open('one', {}); await life.stream('one', 1500); return 1;`);
    await tab.send('Page.setWebLifecycleState', { state: 'frozen' });
    await new Promise((done) => setTimeout(done, 1500));
    await tab.send('Page.setWebLifecycleState', { state: 'active' });
    expect(await tab.run(`return await life.streamed.done;`)).toBe('whole');
    expect(await tab.run(`return await life.ask('one', 20);`)).toBe(20);
  });

  // Nothing of an engine (workers, locks, shared memory) keeps a page out of the back-forward cache.
  it.each([
    ['isolated', {}],
    ['plain', {}],
    ['isolated', { thread: 'inline' }],
  ] as const)(
    'that was left is as it was when one comes back to it: %s page, %o',
    async (how, options) => {
      tab = await browser.tab(page(how));
      await tab.run(`
        addEventListener('pageshow', ({ persisted }) => (life.persisted = persisted));
        life.open('one', ${JSON.stringify(options)});
        await life.stream('one', 1500);
        return 1;`);
      await tab.goTo(page(how === 'plain' ? 'isolated' : 'plain'));
      await tab.run(`history.back(); return 1;`);
      await tab.ready(page(how));
      const said = `[life.persisted, await life.streamed.done, await life.ask('one', 20)]`;
      expect(await tab.run(`return ${said};`)).toEqual([true, 'whole', 20]);
    },
  );
});

it.each([
  ['isolated', {}],
  ['isolated', { thread: 'inline' }],
  ['plain', {}],
  ['plain', { thread: 'inline' }],
] as const)(
  'opening and closing in an %s page, %o, leaves nothing',
  { timeout: 600_000 },
  async (how, options) => {
    tab = await browser.tab(page(how));
    // tests/bench/life.mjs --chromium does 200.
    const seen = await openAndCloseInTab(browser, tab, 25, options);
    const [before, after] = seen as [Counts, Counts];
    // Twenty engines have far more than 300 MiB, 40 threads and 20 workers.
    const told = JSON.stringify(seen);
    expect(after.mib - before.mib, told).toBeLessThan(150);
    expect(after.threads - before.threads, told).toBeLessThan(8);
    expect(after.files - before.files, told).toBeLessThan(15);
    // js/thread/worker.ts, lingerMs: on a starved machine it may be too short for one.
    expect(after.workers, told).toBeLessThan(5);
  },
);
