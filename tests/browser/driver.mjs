// Owns driving Chromium: tabs, the code that runs in them, freezing them, over the pipe of its debugging protocol. Called by
// tests/runtimes/life.test.ts, for what a page cannot do to itself. Surprise: messages end with a zero byte; no package is
// needed.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from './browser.mjs';

/** A browser that can be driven: { send(method, parameters, session), tab(url), close(), pid }. */
export async function driveChromium(path = chromium()) {
  const profile = mkdtempSync(join(tmpdir(), 'ocelli-driven-'));
  const flags = ['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'];
  const words = [...flags, '--no-first-run', '--disable-extensions', '--remote-debugging-pipe'];
  const child = spawn(path, [...words, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
  });
  const waiting = new Map();
  const failAll = (error) => {
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  const ended = new Promise((done) => child.on('close', done));
  ended.then((code) => failAll(new Error(`Chromium ended with ${code}`)));
  child.on('error', failAll);
  const [, , , input, output] = child.stdio;
  input.on('error', failAll);
  let text = '';
  output.setEncoding('utf8').on('data', (piece) => {
    const messages = (text + piece).split('\0');
    text = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const one = waiting.get(id);
      waiting.delete(id);
      if (error) one?.reject(new Error(error.message));
      else one?.resolve(result);
    }
  });
  let last = 0;
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject });
      input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });

  /** Opens a tab: { run(code): what it resolves to, send(method, parameters), close() }. */
  async function tab(url) {
    const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    const one = {
      targetId,
      send: (method, params) => send(method, params, sessionId),
      async run(code) {
        const how = { expression: `(async () => { ${code} })()`, awaitPromise: true };
        const said = await one.send('Runtime.evaluate', { ...how, returnByValue: true });
        const { exceptionDetails: problem, result } = said;
        if (problem) throw new Error(problem.exception?.description ?? problem.text);
        return result.value;
      },
      /** Goes there; resolves when the page's own `ready` is true. */
      async goTo(where) {
        await one.send('Page.navigate', { url: where });
        await one.ready(where);
      },
      async ready(where) {
        const code = `return location.href === ${JSON.stringify(where)} && globalThis.ready === true`;
        while (!(await one.run(code).catch(() => false)))
          await new Promise((done) => setTimeout(done, 50));
      },
      close: () => send('Target.closeTarget', { targetId }),
    };
    await one.send('Page.enable');
    await one.goTo(url);
    return one;
  }

  async function close() {
    child.kill();
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  return { send, tab, close, pid: child.pid };
}
