// Owns OpenAI's dialect as vLLM serves it: chat completions and models. Called by app.ts through all.ts. Surprise: bytes of
// answers are those of AI.run, so there is nothing here of their shapes.
import { resolveModel } from '../../js/models.ts';
import { badRequest } from '../../js/errors.ts';
import { randomHex } from '../../js/json_text.ts';
import { answer } from '../answer.ts';
import { type JsonBody, readJson } from '../body.ts';
import { complete } from '../chat.ts';
import type { App, Mount, RouteContext, WorkerContext } from '../context.ts';

/** The key of `Authorization: Bearer KEY`; of `Token KEY` too, as Azion's client says it. */
export function bearerOf(c: RouteContext): string | null {
  return /^(?:bearer|token)\s+(\S+)\s*$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? null;
}

/** Lets the request of a bearer key in, or throws a Refusal. */
export async function bearer(c: RouteContext, context: WorkerContext): Promise<void> {
  c.set('caller', await context.keys.callerOf(bearerOf(c)));
}

/** The answer to a chat completion of a caller who was let in. */
export async function chat(
  c: RouteContext,
  context: WorkerContext,
  { text, value }: JsonBody,
): Promise<Response> {
  const model = modelIn(value);
  const facts = c.get('facts');
  if (model !== null) facts.model = model;
  facts.stream = (Object(value) as { stream?: unknown }).stream === true;
  const caller = c.get('caller');
  const headers = context.keys.admit(caller);
  for (const [name, text] of Object.entries(headers)) c.header(name, text);
  const given = c.req.header('x-request-id');
  const completed = await complete(context, {
    ...{ caller, model, body: text, value, facts, signal: c.req.raw.signal },
    ...(given !== undefined && { requestId: c.get('requestId') }),
  });
  return answer(c, context, completed);
}

export const openai: Mount = (app: App, context: WorkerContext) => {
  for (const path of ['/v1/chat/completions', '/chat/completions']) {
    app.post(path, async (c) => {
      await bearer(c, context);
      return chat(c, context, await readJson(c, context));
    });
  }
  app.get('/v1/models', async (c) => {
    await bearer(c, context);
    const { name, most } = await loaded(context);
    const names = context.models.length > 0 ? context.models : name === null ? [] : [name];
    const data = names.map((id) => card(id, context, most));
    for (const id of await context.adapters.list()) data.push(adapterCard(id, name, context));
    return c.json({ object: 'list', data });
  });
  app.get('/v1/models/:id{.+}', async (c) => {
    await bearer(c, context);
    const { name, most } = await loaded(context);
    const asked = c.req.param('id');
    if ((await context.adapters.list()).includes(asked))
      return c.json(adapterCard(asked, name, context));
    const id = resolveModel(asked, name ?? '', context.models);
    return c.json(card(id, context, most));
  });
};

/** The "model" of a body: null where it has none. Throws a BadRequestError for anything but text. */
export function modelIn(value: unknown): string | null {
  const { model } = Object(value) as { model?: unknown };
  if (model === undefined || model === null) return null;
  if (typeof model === 'string') return model;
  throw badRequest('invalid_value', `model must be a string, got ${typeof model}`, 'model');
}

/** Throws a NotFoundError for a model that is not there. Where an endpoint answers in our place, that is for it to say. */
export async function checkModel(context: WorkerContext, model: string | null): Promise<void> {
  const { name } = await loaded(context);
  if (model === null || name === null || (await context.adapters.list()).includes(model)) return;
  resolveModel(model, name, context.models);
}

/** The loaded model's name, and how many tokens it takes; null where an endpoint answers in its place and says neither. */
export async function loaded({
  ai,
  models,
}: WorkerContext): Promise<{ name: string | null; most: number | null }> {
  const { model, context } = await ai.info();
  return { name: model ?? models[0] ?? null, most: context };
}

function adapterCard(id: string, base: string | null, context: WorkerContext): object {
  const root = context.adapters.rootOf(id);
  return { ...card(id, context, null), root, parent: base };
}

function card(id: string, { created }: WorkerContext, most: number | null): object {
  return {
    // Programs tell by the owner what kind of server they talk to.
    ...{ id, object: 'model', created, owned_by: 'vllm', root: id, parent: null },
    max_model_len: most,
    permission: [
      {
        id: `modelperm-${randomHex(32)}`,
        ...{ object: 'model_permission', created, allow_create_engine: false },
        ...{ allow_sampling: true, allow_logprobs: true, allow_search_indices: false },
        ...{ allow_view: true, allow_fine_tuning: false, organization: '*', group: null },
        is_blocking: false,
      },
    ],
  };
}
