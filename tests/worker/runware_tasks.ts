// Tasks of Runware's dialect as its clients send them, and short ways to send them. Used by the tests of it.
import type { FakeWorker } from './fake_worker.ts';

export interface Reply {
  data?: Record<string, unknown>[];
  errors?: Record<string, unknown>[];
}

/** A picture as bytes that say they are one. */
export const picture = `data:image/png;base64,${btoa('\x89PNG\r\n\x1a\nrest')}`;
export const model = 'runware:152@1';
export const uuid = (): string => crypto.randomUUID();

export const caption = (more: object = {}): Record<string, unknown> => ({
  ...{ taskType: 'caption', taskUUID: uuid(), model, prompt: 'What is it?' },
  ...{ inputs: { image: picture }, ...more },
});

/** Sends tasks; what comes back, with its status. */
export async function send(
  worker: Pick<FakeWorker, 'post'>,
  tasks: unknown,
  headers: Record<string, string> = {},
  path = '/v1',
): Promise<Reply & { status: number }> {
  const reply = await worker.post(path, tasks, { headers });
  return { status: reply.status, ...((await reply.json()) as Reply) };
}

/** Asks for the response of a task until it is no longer processing. */
export async function poll(
  worker: Pick<FakeWorker, 'post'>,
  taskUUID: unknown,
  headers: Record<string, string> = {},
): Promise<Reply & { status: number }> {
  for (;;) {
    const reply = await send(worker, [{ taskType: 'getResponse', taskUUID }], headers);
    if (reply.data?.[0]?.['status'] !== 'processing') return reply;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
