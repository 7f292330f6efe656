// The life of an engine in Chromium's tabs: workers that end, tabs that are hidden, frozen, left and returned to, two engines
// in one page, and what many openings leave behind. Surprise: a tab is frozen and a worker counted from outside, over the
// debugging protocol (tests/browser/driver.mjs).
import { cpSync, readdirSync, readFileSync } from 'node:fs';
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
interface Files {
  serveFiles(options: object): Promise<{ origin: string; close(): void }>;
  isolation: Record<string, string>;
}
const load = async <T>(path: string): Promise<T> => (await import(join(root, path))) as T;
const { serveFiles, isolation } = await load<Files>('tests/browser/browser.mjs');
const { driveChromium } = await load<{ driveChromium(path: string): Promise<Browser> }>(
  'tests/browser/driver.mjs',
);

let browser: Browser;
let server: { origin: string; close(): void };
let plain: { origin: string; close(): void };
let tab: Tab;
beforeAll(async () => {
  cpSync(join(import.meta.dirname, 'pages'), join(found.project, 'pages'), { recursive: true });
  const roots = { '/': found.project };
  server = await serveFiles({ roots, with: isolation });
  plain = await serveFiles({ roots, with: {} });
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

  it('that was left answers when one comes back to it', async () => {
    tab = await browser.tab(page());
    await tab.run(`life.open('one', {}); return await life.ask('one');`);
    await tab.goTo(page('plain'));
    await tab.run(`history.back(); return 1;`);
    await tab.ready(page());
    expect(await tab.run(`life.one ?? life.open('one', {}); return await life.ask('one');`)).toBe(
      3,
    );
  });
});

/** Resident memory of the browser's processes for pages, in MiB, and their threads. */
function renderers(): { mib: number; threads: number } {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const parent = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      continue; // it has just ended
    }
  }
  const seen = { mib: 0, threads: 0 };
  const add = (pid: number): void => {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--type=renderer')) {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        seen.mib += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
        seen.threads += Number(/Threads:\s+(\d+)/.exec(status)?.[1] ?? 0);
      }
    } catch {
      return;
    }
    for (const child of children.get(pid) ?? []) add(child);
  };
  add(browser.pid);
  return seen;
}

/** OCELLI_LIFE_CYCLES=200 for the long run. */
const cycles = Number(process.env['OCELLI_LIFE_CYCLES'] ?? 25);
it.each([
  ['isolated', {}],
  ['isolated', { thread: 'inline' }],
  ['plain', {}],
  ['plain', { thread: 'inline' }],
] as const)(
  'opening and closing in an %s page, %o, leaves nothing',
  { timeout: 30_000 * cycles },
  async (how, options) => {
    tab = await browser.tab(page(how));
    const settled = async (): Promise<{ mib: number; threads: number }> => {
      let least = { mib: Infinity, threads: Infinity };
      for (let n = 0; n < 5; n++) {
        await tab.send('HeapProfiler.collectGarbage');
        await new Promise((done) => setTimeout(done, 200));
        const now = renderers();
        least = {
          mib: Math.min(least.mib, now.mib),
          threads: Math.min(least.threads, now.threads),
        };
      }
      return least;
    };
    const given = JSON.stringify(options);
    await tab.run(`await life.openAndClose(5, ${given}); return 1;`);
    const before = await settled();
    await tab.run(`await life.openAndClose(${cycles - 5}, ${given}); return 1;`);
    const after = await settled();
    const grown = { mib: after.mib - before.mib, threads: after.threads - before.threads };
    if (cycles > 25) console.log(how, given, { before, after });
    // Twenty engines have far more than 300 MiB and 40 threads.
    expect(grown.mib, JSON.stringify({ before, after })).toBeLessThan(150);
    expect(grown.threads, JSON.stringify({ before, after })).toBeLessThan(8);
  },
);
