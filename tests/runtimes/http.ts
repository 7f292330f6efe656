// Owns asking a server instead of a function: AI.run over HTTP, as workerd and the edge VM answer it, and the server of the
// weights. Called by the suites of isolates. Surprise: a streamed answer is read as bytes, so that its events can be
// checked as they are on the wire.
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Answers, picture, root } from './runtime.ts';

interface Questions {
  answers(
    run: (model: null, body: { stream?: boolean }) => Promise<unknown>,
    picture: string,
  ): Promise<Answers>;
}
interface Files {
  serveFiles(options: object): Promise<{ origin: string; close(): void }>;
}
const load = async <T>(path: string): Promise<T> => (await import(join(root, path))) as T;

/** The embedded model's container on loopback: { origin, close }. */
export async function weights(): Promise<{ origin: string; close(): void }> {
  const { serveFiles } = await load<Files>('tests/browser/browser.mjs');
  return await serveFiles({ roots: { '/': join(root, 'models/demo/container') } });
}

/** The data of the events of a stream. */
export function eventsOf(text: string): unknown[] {
  const events = text.split('\n\n');
  expect(events.splice(-2)).toEqual(['data: [DONE]', '']);
  return events.map((event) => {
    expect(event).toMatch(/^data: \{.*\}$/);
    return JSON.parse(event.slice('data: '.length)) as unknown;
  });
}

/** What `send` answers to the four questions; it gets a body and gives a Response. */
export async function answersOver(send: (body: string) => Promise<Response>): Promise<Answers> {
  const { answers } = await load<Questions>('tests/runtimes/questions.mjs');
  return await answers(async (_, body) => {
    const response = await send(JSON.stringify(body));
    expect(response.status, response.ok ? '' : await response.clone().text()).toBe(200);
    expect(response.headers.get('content-type')).toMatch(
      body.stream ? /^text\/event-stream/ : /^application\/json/,
    );
    return body.stream ? eventsOf(await response.text()) : await response.json();
  }, picture);
}
