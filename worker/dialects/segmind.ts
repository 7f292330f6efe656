// Owns Segmind's dialect: POST /v1/<slug>, one route a model, with errors that are a bare text. Called by app.ts through
// all.ts. Surprise: the slug decides who answers, before anything is known to be missing; what else is posted under /v1 is
// nobody's, and only the key's header or prefix then tells that a Segmind client wants to read why.
import type { OcelliError } from '../../js/errors.ts';
import { randomHex } from '../../js/json_text.ts';
import type { ChatCompletion } from '../../js/types.ts';
import { answer } from '../answer.ts';
import { readJson } from '../body.ts';
import { complete } from '../chat.ts';
import type { App, Mount, RouteContext, WorkerContext } from '../context.ts';
import { respelled } from '../errors.ts';
import type { Caller } from '../keys.ts';
import { bearerOf } from './openai.ts';

/** THE list of slugs: the pattern's for this model, and the documented one of its greater sister. All mean this model. */
export const slugs: readonly string[] = ['qwen2p5-vl-3b-instruct', 'qwen2p5-vl-32b-instruct'];

/** The statuses that the service documents; others become the nearest of them. */
const statuses: Record<number, number> = { 402: 406, 413: 400, 415: 400, 499: 400, 503: 502 };

export const segmindBody = ({ message }: OcelliError): unknown => ({ error: message });

const keyOf = (c: RouteContext): string | null => bearerOf(c) ?? c.req.header('x-api-key') ?? null;

export const segmind: Mount = (app: App, context: WorkerContext) => {
  app.use('/v1/:slug', async (c, next) => {
    const theirs = c.req.header('x-api-key') !== undefined || bearerOf(c)?.startsWith('SG_');
    if (theirs || slugs.includes(c.req.param('slug'))) c.set('spell', segmindBody);
    await next();
  });

  app.post(`/v1/:slug{${slugs.join('|')}}`, async (c) => {
    try {
      return await ask(c, context, c.req.param('slug'));
    } catch (error) {
      throw respelled(error, statuses);
    }
  });
};

async function ask(c: RouteContext, context: WorkerContext, slug: string): Promise<Response> {
  const caller = await context.keys.callerOf(keyOf(c));
  c.set('caller', caller);
  const { text, value } = await readJson(c, context);
  const facts = c.get('facts');
  facts.model = slug;
  facts.stream = (value as { stream?: unknown } | null)?.stream === true;
  const before = caller.credits;
  const rate = rateHeaders(context.keys.admit(caller), context.clock());
  for (const [name, said] of Object.entries(rate)) c.header(name, said);
  // The slug has named the model, whatever else the body says; null is the one that is loaded.
  const job = { caller, model: null, body: text, value, facts, signal: c.req.raw.signal };
  const completed = await complete(context, job);
  if (completed.result instanceof Response) return answer(c, context, completed);
  await completed.ended;
  for (const [name, said] of Object.entries(creditHeaders(caller, before))) c.header(name, said);
  return c.json(reduced(completed.result as ChatCompletion, slug));
}

/** The documented keys of a chat.completion, and no other; calls of tools only where there are some. */
function reduced({ created, choices, usage }: ChatCompletion, slug: string): object {
  const { prompt_tokens, completion_tokens, total_tokens } = usage;
  return {
    ...{ id: `chat_${randomHex(24)}`, object: 'chat.completion', created, model: slug },
    choices: choices.map(({ index, message: { role, content, tool_calls }, finish_reason }) => ({
      index,
      message: { role, content: content ?? '', ...(tool_calls.length > 0 && { tool_calls }) },
      finish_reason,
    })),
    usage: { prompt_tokens, completion_tokens, total_tokens },
  };
}

/** Credits are tokens here; those who have them uncounted are told nothing of them. */
function creditHeaders({ credits }: Caller, before: number): Record<string, string> {
  if (credits === Infinity) return {};
  return {
    'x-remaining-credits': String(Math.max(0, credits)),
    'x-credits-charged': String(before - credits),
  };
}

/** OpenAI's rate headers in Segmind's words. */
function rateHeaders(given: Record<string, string>, now: number): Record<string, string> {
  const limit = given['x-ratelimit-limit-requests'];
  if (limit === undefined) return {};
  const after = parseInt(given['x-ratelimit-reset-requests'] ?? '0');
  return {
    'x-rate-limit-limit': limit,
    'x-rate-limit-remaining': given['x-ratelimit-remaining-requests'] ?? '0',
    'x-rate-limit-reset': String(Math.ceil(now / 1000) + after),
    'x-rate-limit-reset-after': String(after),
    'x-rate-limit-policy': `${limit};w=60`,
  };
}
