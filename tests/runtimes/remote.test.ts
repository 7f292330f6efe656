// AI.run elsewhere: isolates and runtimes that forward to a real `ocelli serve` on loopback, with the embedded model there.
// The same programs as in the other suites, and the same answers to the bit, the same errors, the same ways to leave.
// Surprise: what an isolate did is read from the server's log, so that nobody answers here unseen.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edgeVm, placeFunctions, platform, asModule, edge, send, withStyle } from './edge_vm.ts';
import { answersOver, eventsOf, weights } from './http.ts';
import { asked, expectSame, found, runtime, titled, type Answers, type Told } from './runtime.ts';
import * as workerd from './workerd.ts';

/** A line of the server's log. */
interface Logged {
  path: string;
  status: number;
  error?: string;
}
let server: ChildProcess;
let origin: string;
const log: Logged[] = [];
const chats = (): Logged[] => log.filter(({ path }) => path === '/v1/chat/completions');

const home = join(found.project, 'node_modules/ocelli/build/js');
let bundle: string;
let model: { origin: string; close(): void };
beforeAll(async () => {
  placeFunctions();
  bundle = await workerd.bundled('examples/workerd');
  model = await weights();
  const words = [join(home, 'cli/main.js'), 'serve', '--port', '0', '--threads', '2'];
  server = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  server.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (out + text).split('\n');
    out = lines.pop() ?? '';
    log.push(...lines.map((line) => JSON.parse(line) as Logged));
  });
  origin = await new Promise((resolve, reject) => {
    let said = '';
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const url = /listening at (\S+)\/v1/.exec(said)?.[1];
      if (url !== undefined && said.includes('ready:')) resolve(url);
    });
    server.on('close', (code) => reject(new Error(`ocelli serve ended with ${code}: ${said}`)));
  });
});
afterAll(async () => {
  model.close();
  if (server.exitCode !== null) return;
  const ended = new Promise((resolve) => server.on('close', resolve));
  server.kill('SIGKILL');
  await ended;
});

/** What `work` resolves to, once the server's log has `count` more chats; those are given too. */
async function forwarded<T>(count: number, work: () => Promise<T>): Promise<[T, Logged[]]> {
  const before = chats().length;
  const result = await work();
  await expect.poll(() => chats().length, { timeout: 200_000 }).toBe(before + count);
  return [result, chats().slice(before)];
}

/** Told of answers that came from the server, all four of them. */
async function told(work: () => Promise<Answers>): Promise<Told> {
  const [answers] = await forwarded(4, work);
  return { answers, variant: 'ocelli serve', threads: 2 };
}

interface Refusal {
  name: string;
  message: string;
  status: number;
}
const question = [{ role: 'user', content: 'What is the capital of France?' }];
const wrong: object[] = [
  { messages: [] },
  { messages: question, temperature: -1 },
  { messages: question, max_tokens: 'many' },
  { messages: question, model: 'nobody/nothing' },
  {
    messages: [
      {
        role: 'user',
        content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }],
      },
    ],
  },
];

/** What an engine in this process makes of the same bodies. */
async function refusalsHere(): Promise<Refusal[]> {
  const { createAI } = (await import(join(home, 'index.js'))) as {
    createAI(): { run(model: unknown, body: object): Promise<unknown>; close(): Promise<void> };
  };
  const ai = createAI();
  const all: Refusal[] = [];
  for (const body of wrong) {
    const { model: id = null } = body as { model?: string };
    const error = await ai.run(id, body).catch((reason: unknown) => reason as Refusal);
    const { name, message, status } = error as Refusal;
    all.push({ name, message, status });
  }
  await ai.close();
  return all;
}

const long = { messages: question, max_tokens: 1500, ignore_eos: true };

describe('workerd', () => {
  const remote = { OCELLI_ENGINE: 'remote' };
  const served = (env: Record<string, string>, work: (url: string) => Promise<void>) =>
    workerd.served(
      bundle,
      { MODEL: model.origin, OCELLI_REMOTE_URL: origin, ...env },
      async (url) => {
        // The request that finds out whether it listens goes on to the server too.
        await expect.poll(() => chats().at(-1)?.status, { timeout: 200_000 }).toBe(400);
        await work(url);
      },
    );
  const post = (url: string, body: object, signal?: AbortSignal): Promise<Response> =>
    fetch(url, { method: 'POST', body: JSON.stringify(body), ...(signal && { signal }) });

  it.each([
    ['remote', remote],
    // The isolate's 128 MB are too few for the embedded model.
    ['auto', {}],
  ])('engine %s', async (how, env) => {
    let text = '';
    const ask = async (): Promise<Told> => {
      let answers: Told | undefined;
      text = await served(env, async (url) => {
        answers = await told(() => answersOver((body) => fetch(url, { method: 'POST', body })));
      });
      return answers as Told;
    };
    await expectSame({ runtime: titled('workerd'), how: `engine ${how}` }, ask);
    expect(text).toBe('');
  });

  it('gives the same errors', async () => {
    const here = await refusalsHere();
    await served(remote, async (url) => {
      for (const [n, body] of wrong.entries()) {
        const response = await post(url, body);
        const { error } = (await response.json()) as { error: string };
        expect([response.status, error]).toEqual([here[n]?.status, here[n]?.message]);
      }
    });
  });

  // One that waits for a whole answer is not noticed: the platform itself does not look (examples/workerd/README.md).
  it('ends the work there when the reader of a stream leaves', async () => {
    await served(remote, async (url) => {
      const leaving = new AbortController();
      const [, lines] = await forwarded(1, async () => {
        const response = await post(url, { ...long, stream: true }, leaving.signal);
        await response.body?.getReader().read();
        leaving.abort();
      });
      expect(lines[0]).toMatchObject({ finish_reason: 'abort' });
      const response = await post(url, { messages: question, stream: true });
      expect(eventsOf(await response.text()).length).toBeGreaterThan(5);
    });
  });
});

/** Resolves when the server computes something. */
async function running(): Promise<void> {
  const metric = async (): Promise<number> => {
    const text = await (await fetch(`${origin}/metrics`)).text();
    return Number(/^vllm:num_requests_running(?:\{[^}]*\})? (\S+)/m.exec(text)?.[1]);
  };
  await expect.poll(metric, { timeout: 200_000 }).toBeGreaterThan(0);
}

describe.each(['edge-vm', 'edge-vm 3'])('%s', (name) => {
  const globals = (options: object): object => ({
    MODEL: model.origin,
    ARGS: { model: null },
    OPTIONS: options,
  });
  const there = (): object => ({ engine: 'remote', remote: { url: origin } });

  it.each([
    ['engine remote', withStyle('service_worker'), there],
    ['engine remote, module', platform + asModule(join(edge, 'es_module.js')), there],
    // With the limits of another platform: its own would have room for the embedded model.
    [
      'engine auto',
      withStyle('arguments'),
      () => ({ remote: { url: origin }, limits: { memoryBytes: 128e6 } }),
    ],
  ])('%s', async (how, code, options) => {
    await expectSame({ runtime: titled(name, 'edge-runtime/vm'), how }, async () => {
      const vm = await edgeVm(name, code, globals(options()));
      return await told(() => answersOver(send(vm)));
    });
  });

  it('gives the same errors', async () => {
    const here = await refusalsHere();
    for (const [n, body] of wrong.entries()) {
      const { model: id = null, ...rest } = body as { model?: string };
      const vm = await edgeVm(name, withStyle('arguments'), {
        ...globals(there()),
        ARGS: { model: id },
      });
      const response = await send(vm)(JSON.stringify(rest));
      const { name: kind, message } = (await response.json()) as Refusal;
      expect({ name: kind, message, status: response.status }).toEqual(here[n]);
    }
  });

  it('ends the work there when nobody reads on', async () => {
    const vm = await edgeVm(name, withStyle('service_worker'), globals(there()));
    const [, lines] = await forwarded(1, async () => {
      const response = await send(vm)(JSON.stringify({ ...long, stream: true }));
      const reader = response.body?.getReader();
      await reader?.read();
      await reader?.cancel();
    });
    expect(lines[0]).toMatchObject({ finish_reason: 'abort' });
  });

  it('ends the work there by the signal of a run', async () => {
    const code = `${platform}
      addEventListener('fetch', (event) => event.respondWith((async () => {
        globalThis.STOP = new AbortController();
        const run = Azion.AI.run(null, { ...(await event.request.json()), signal: STOP.signal });
        return new Response(await run.then(() => 'an answer', (error) => error.message));
      })()));`;
    const vm = await edgeVm(name, code, globals(there()));
    const [text, lines] = await forwarded(1, async () => {
      const response = send(vm)(JSON.stringify(long));
      await running();
      vm.evaluate(`STOP.abort(new Error('enough'))`);
      return await (await response).text();
    });
    expect(text).toBe('enough');
    expect(lines[0]).toMatchObject({ status: 499, error: 'client_closed' });
  });

  it('says which endpoint it does not reach', async () => {
    const options = { engine: 'remote', remote: { url: 'http://127.0.0.1:9', retries: 0 } };
    const vm = await edgeVm(name, withStyle('arguments'), globals(options));
    const response = await send(vm)(JSON.stringify({ messages: question }));
    expect([response.status, ((await response.json()) as Refusal).message]).toEqual([
      502,
      expect.stringMatching(/^http:\/\/127\.0\.0\.1:9\/v1\/chat\/completions: /) as string,
    ]);
  });
});

describe.each([
  ['node 20', []],
  ['deno', ['run', '--no-prompt', '--allow-read', '--allow-net=127.0.0.1']],
  ['bun', []],
])('%s', (name, words) => {
  it('engine remote', async () => {
    await expectSame({ runtime: titled(name), how: 'engine remote' }, async () => {
      const options = { engine: 'remote', remote: { url: origin } };
      const ask = () => asked(runtime(name).path, [...words, 'ask.mjs'], options);
      return await told(async () => (await ask()).answers);
    });
  });
});
