// Owns OpenAI's dialect as vLLM serves it: chat completions and models. Called by app.ts through all.ts. Surprise: bytes of
// answers are those of AI.run, so there is nothing here of their shapes.
import { modelAliases, resolveModel } from '../../js/models.ts';
import { badRequest } from '../../js/errors.ts';
import { randomHex } from '../../js/json_text.ts';
import { answer } from '../answer.ts';
import { readJson } from '../body.ts';
import { complete } from '../chat.ts';
import type { App, Mount, RouteContext, WorkerContext } from '../context.ts';

/** The key of `Authorization: Bearer KEY`. */
export function bearerOf(c: RouteContext): string | null {
  return /^bearer\s+(\S+)\s*$/i.exec(c.req.header('authorization') ?? '')?.[1] ?? null;
}

/** Lets the request of a bearer key in, or throws a Refusal. */
export async function bearer(c: RouteContext, context: WorkerContext): Promise<void> {
  c.set('caller', await context.keys.callerOf(bearerOf(c)));
}

export const openai: Mount = (app: App, context: WorkerContext) => {
  const chat = async (c: RouteContext): Promise<Response> => {
    await bearer(c, context);
    const { text, value } = await readJson(c, context);
    const model = modelIn(value);
    const facts = c.get('facts');
    if (model !== null) facts.model = model;
    facts.stream = (value as { stream?: unknown }).stream === true;
    const caller = c.get('caller');
    const headers = context.keys.admit(caller);
    for (const [name, text] of Object.entries(headers)) c.header(name, text);
    const given = c.req.header('x-request-id');
    const completed = await complete(context, {
      ...{ caller, model, body: text, value, facts, signal: c.req.raw.signal },
      ...(given !== undefined && { requestId: c.get('requestId') }),
    });
    return answer(c, context, completed);
  };
  app.post('/v1/chat/completions', chat);
  app.post('/chat/completions', chat);

  app.get('/v1/models', async (c) => {
    await bearer(c, context);
    const data = (await listed(context)).map((id) => card(id, context));
    return c.json({ object: 'list', data });
  });
  app.get('/v1/models/:id{.+}', async (c) => {
    await bearer(c, context);
    const [loaded = ''] = await listed(context);
    const id = resolveModel(c.req.param('id'), loaded, [...context.models, ...modelAliases]);
    return c.json(card(id, context));
  });
};

/** The "model" of a body: null where it has none. Throws a BadRequestError for anything but text. */
export function modelIn(value: unknown): string | null {
  const { model } = Object(value) as { model?: unknown };
  if (model === undefined || model === null) return null;
  if (typeof model === 'string') return model;
  throw badRequest('invalid_value', `model must be a string, got ${typeof model}`, 'model');
}

async function listed({ ai, models }: WorkerContext): Promise<readonly string[]> {
  if (models.length > 0) return models;
  const { model } = await ai.info();
  return model === null ? [] : [model]; // an endpoint that has named none
}

function card(id: string, { created }: WorkerContext): object {
  return {
    ...{ id, object: 'model', created, owned_by: 'ocelli', root: id, parent: null },
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
