// An OpenAI-compatible endpoint on loopback that does as a script says, also wrong things. Used by the tests of remote/.
// Surprise: each request takes the next act of the script, and the last one stays, so that a script of one act is a habit.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
  json: Record<string, unknown>;
  /** Resolves when the connection of this request has gone, with whether the answer was complete by then. */
  gone: Promise<boolean>;
}
export type Act = (request: Seen, response: ServerResponse) => void | Promise<void>;

export interface Stub {
  url: string;
  seen: Seen[];
  /** What the next requests meet. */
  script(...acts: Act[]): void;
  close(): Promise<void>;
}

export async function startStub(): Promise<Stub> {
  const seen: Seen[] = [];
  let acts: Act[] = [];
  const server = createServer((request, response) => {
    const gone = new Promise<boolean>((resolve) =>
      response.on('close', () => resolve(response.writableFinished)),
    );
    let body = '';
    request.on('data', (bytes) => (body += bytes));
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request;
      const json = (body === '' ? {} : JSON.parse(body)) as Record<string, unknown>;
      const one: Seen = { method, path, headers, body, json, gone };
      seen.push(one);
      const act = acts.length > 1 ? acts.shift() : acts[0];
      void Promise.resolve(act?.(one, response)).catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    script(...next) {
      acts = next;
      seen.length = 0;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** Answers with `value` as JSON. */
export const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): Act =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };

/** Answers with text. */
export const plain =
  (text: string, status: number, type: string, headers: Record<string, string> = {}): Act =>
  (_, response) => {
    response.writeHead(status, { 'content-type': type, ...headers });
    response.end(text);
  };

/** Sends pieces as they are, and then ends, or cuts the connection. */
export const pieces =
  (
    parts: readonly (string | Uint8Array)[],
    { cut = false, type = 'text/event-stream' } = {},
  ): Act =>
  async (_, response) => {
    response.writeHead(200, { 'content-type': type });
    response.flushHeaders();
    for (const part of parts) {
      await new Promise<void>((resolve) => response.write(part, () => resolve()));
      // Each piece is a read of its own on the other side, most of the time.
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (cut) response.destroy();
    else response.end();
  };

export const dropped: Act = (_, response) => void response.destroy();
export const silent: Act = () => undefined;

const created = 1746821581;
const headOf = (object: string): object => ({ id: 'chatcmpl-1', object, created, model: 'served' });
const chunk = (choices: object[], more: object = {}): string =>
  JSON.stringify({ ...headOf('chat.completion.chunk'), choices, ...more });
const choice = (delta: object, finish: string | null = null, index = 0): object => ({
  index,
  delta,
  logprobs: null,
  finish_reason: finish,
  ...(finish && { stop_reason: null }),
});

/** The data of the events of an answer that says `words`. */
export function dataOf(words: readonly string[], usage = true): string[] {
  return [
    chunk([choice({ role: 'assistant', content: '' })]),
    ...words.map((content) => chunk([choice({ content })])),
    chunk([choice({ content: '' }, 'stop')]),
    ...(usage ? [chunk([], { usage: usageOf(words.length) })] : []),
  ];
}
export const usageOf = (words: number): object => ({
  prompt_tokens: 5,
  total_tokens: 6 + words,
  completion_tokens: 1 + words,
});

export const events = (data: readonly string[], done = true): string =>
  [...data, ...(done ? ['[DONE]'] : [])].map((one) => `data: ${one}\n\n`).join('');

/** The same answer whole. */
export const whole = (text: string, words: number): object => ({
  ...headOf('chat.completion'),
  choices: [
    {
      index: 0,
      message: { role: 'assistant', reasoning_content: null, content: text, tool_calls: [] },
      logprobs: null,
      finish_reason: 'stop',
      stop_reason: null,
    },
  ],
  usage: { ...usageOf(words), prompt_tokens_details: null },
  prompt_logprobs: null,
});

/** Numbers from 0 to 1 that are the same in each run: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
