// Owns counting what a driven Chromium holds: memory, threads, files, workers; and what many openings of an engine leave of
// it. Called by tests/runtimes/life.test.ts and tests/bench/life.mjs. Surprise: memory and threads end a little after they
// are let go, so a count is the least of several.
import { readdirSync, readFileSync } from 'node:fs';

/** The process ids below `root`, itself first. */
function family(root) {
  const children = new Map();
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const parent = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      continue; // it has just ended
    }
  }
  const all = [root];
  for (const pid of all) all.push(...(children.get(pid) ?? []));
  return all;
}

/** Of the processes for pages: resident MiB and threads; of all of them: open files; and the workers that pages have. */
async function counts(browser) {
  const seen = { mib: 0, threads: 0, files: 0, workers: 0 };
  for (const pid of family(browser.pid)) {
    try {
      seen.files += readdirSync(`/proc/${pid}/fd`).length;
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--type=renderer')) continue;
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      seen.mib += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
      seen.threads += Number(/Threads:\s+(\d+)/.exec(status)?.[1] ?? 0);
    } catch {
      continue;
    }
  }
  const { targetInfos } = await browser.send('Target.getTargets', { filter: [{}] });
  seen.workers = targetInfos.filter(({ type }) => type === 'worker').length;
  return seen;
}

async function settled(browser, tab) {
  let least = null;
  for (let n = 0; n < 5; n++) {
    await tab.send('HeapProfiler.collectGarbage');
    await new Promise((done) => setTimeout(done, 200));
    const now = await counts(browser);
    least ??= now;
    for (const name of Object.keys(now)) least[name] = Math.min(least[name], now[name]);
  }
  return least;
}

/**
 * Counts in the page tests/runtimes/pages/life.html while an engine is opened, asked and closed `cycles` times: after five
 * cycles, which load code and fill caches that stay, then `samples` times in all.
 */
export async function openAndCloseInTab(browser, tab, cycles, options, samples = 2) {
  const seen = [];
  let done = 0;
  for (let n = 0; n < samples; n++) {
    const until = Math.round(5 + ((cycles - 5) * n) / (samples - 1));
    await tab.run(
      `await life.openAndClose(${until - done}, ${JSON.stringify(options)}); return 1;`,
    );
    done = until;
    seen.push({ cycle: done, ...(await settled(browser, tab)) });
  }
  return seen;
}
