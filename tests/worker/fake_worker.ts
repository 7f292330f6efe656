// A worker on a scripted core, and short ways to ask it. Used by the tests of worker/.
import { createWorker, type Worker, type WorkerOptions } from '../../worker/app.ts';
import type { AIOptions } from '../../js/ai.ts';
import { fakeAI } from '../js/fake_ai.ts';
import { type FakeCore, fakeCore, type Script, textScript } from '../js/fake_core.ts';

export interface FakeWorker extends Worker {
  core: FakeCore;
  /** One record per request. */
  records: Record<string, unknown>[];
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  /** `body` as it is when it is text, else as JSON. */
  post(path: string, body: unknown, more?: RequestInit): Promise<Response>;
}

export function fakeWorker(
  options: Omit<Partial<WorkerOptions>, 'ai'> & { ai?: AIOptions } = {},
  script: (body: Record<string, unknown>) => Script = () => textScript(['Hel', 'lo']),
): FakeWorker {
  const core = fakeCore(script);
  const records: Record<string, unknown>[] = [];
  const ai = fakeAI(() => core, 'inline', options.ai);
  const worker = createWorker({ log: (record) => records.push(record), ...options, ai });
  return {
    ...worker,
    ...{ core, records },
    get: (path, headers = {}) => worker.fetch(new Request(`http://host${path}`, { headers })),
    post: (path, body, { headers, ...more } = {}) =>
      worker.fetch(
        new Request(`http://host${path}`, {
          method: 'POST',
          body: typeof body === 'string' ? body : JSON.stringify(body),
          headers: { 'content-type': 'application/json', ...headers },
          ...more,
        }),
      ),
  };
}

export const hello = { messages: [{ role: 'user', content: 'Hi' }] };
export const chat = '/v1/chat/completions';
