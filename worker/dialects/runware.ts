// Owns Runware's dialect over HTTP: POST of an array of tasks to /v1 or /. Called by app.ts through all.ts. Surprise: tasks of
// a batch succeed and fail apart, so the reply has data, errors, or both; its status is that of the first error only where
// nothing succeeded. What the tasks mean is in ../runware, and so is the same over WebSocket.
import type { OcelliError } from '../../js/errors.ts';
import { isFields } from '../../js/request.ts';
import { readJson } from '../body.ts';
import type { App, Mount, RouteContext, WorkerContext } from '../context.ts';
import { Refusal, respelled } from '../errors.ts';
import { refuse, taskError } from '../runware/errors.ts';
import { imageRoute, typeOf } from '../runware/images.ts';
import { callerWith } from '../runware/sessions.ts';
import { isUUID } from '../runware/tasks.ts';
import { bearerOf } from './openai.ts';

export const runwareBody = (error: OcelliError): unknown => ({ errors: [taskError(error).error] });

export const runware: Mount = (app: App, context: WorkerContext) => {
  for (const path of ['/v1', '/']) {
    app.use(path, async (c, next) => {
      c.set('spell', runwareBody);
      await next();
    });
    app.post(path, async (c) => {
      try {
        return await ask(c, context);
      } catch (error) {
        // Only the statuses that the service has.
        throw respelled(error, { 413: 400, 415: 400, 499: 400, 504: 500 });
      }
    });
  }

  app.get(imageRoute, async (c) => {
    const id = c.req.param('id') ?? '';
    const kept = isUUID(id) ? await context.store.get('image', '', id.toLowerCase()) : undefined;
    if (!kept) throw new Refusal(404, 'image_not_found', `there is no image ${id.slice(0, 60)}`);
    return c.body(kept.bytes as Uint8Array<ArrayBuffer>, 200, {
      'content-type': typeOf(kept.bytes),
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; sandbox",
    });
  });
};

async function ask(c: RouteContext, context: WorkerContext): Promise<Response> {
  const { value } = await readJson(c, context);
  if (!Array.isArray(value))
    throw refuse('invalidRequest', 'the request must be an array of tasks');
  const tasks = [...(value as unknown[])];
  const [first] = tasks;
  const authentication = isFields(first) && first['taskType'] === 'authentication';
  const key = authentication ? first['apiKey'] : bearerOf(c);
  if (authentication) tasks.shift();
  const caller = await callerWith(context, key);
  c.set('caller', caller);
  if (tasks.length === 0) throw refuse('missingTask', 'the request has no task');
  const { tasksPerRequest } = context.limits;
  if (tasks.length > tasksPerRequest)
    throw refuse('maxTasks', `${tasks.length} tasks; ${tasksPerRequest} are allowed in a request`);
  const visitor = {
    ...{ caller, signal: c.req.raw.signal, origin: new URL(c.req.url).origin },
    outlive: (work: Promise<unknown>) => c.env.waitUntil?.(work),
  };
  const outcomes = await Promise.all(tasks.map((task) => context.desk.handle(task, visitor)));
  const data = outcomes.flatMap((outcome) => outcome.data ?? []);
  const failures = outcomes.flatMap(({ failure }) => failure ?? []);
  const [failed] = failures;
  if (!failed) return c.json({ data });
  const errors = failures.map(({ error }) => error);
  c.get('facts').error = failed.error.code;
  const polled = outcomes.some((outcome) => outcome.data);
  if (polled) return c.json({ data, errors });
  for (const [name, text] of Object.entries(failed.headers)) c.header(name, text);
  return c.json({ errors }, failed.status as 400);
}
