// Owns the routes of text completions, as vLLM serves OpenAI's older API, and the one that takes chats too. Called by app.ts
// through all.ts. Surprise: each prompt of a request takes a place in the queue of its own; if one of them finds none, the
// whole request is refused before anything of it is sent.
import { badRequest } from '../../js/errors.ts';
import { parseBody } from '../../js/request.ts';
import { responseOver } from '../../js/stream.ts';
import type { ChatCompletion, ChatStream } from '../../js/types.ts';
import { answer } from '../answer.ts';
import { type JsonBody, readJson } from '../body.ts';
import { complete, type Completed } from '../chat.ts';
import {
  bodyOf,
  completionAsked,
  type CompletionAsked,
  textChunks,
  textCompletion,
  textOf,
} from '../completions.ts';
import type { App, Facts, Mount, RouteContext, WorkerContext } from '../context.ts';
import { bearer, chat, modelIn } from './openai.ts';

/** The texts that a caller who was let in asks for. */
async function completion(
  c: RouteContext,
  context: WorkerContext,
  { text, value }: JsonBody,
): Promise<Response> {
  const { ai, keys, limits } = context;
  const model = modelIn(value);
  const asked = completionAsked(value, limits.tasksPerRequest);
  const facts = c.get('facts');
  Object.assign(facts, { ...(model !== null && { model }), stream: asked.stream });
  const caller = c.get('caller');
  for (const [name, said] of Object.entries(keys.admit(caller))) c.header(name, said);

  const parsed = parseBody(text);
  const stop = new AbortController();
  const signal = AbortSignal.any([c.req.raw.signal, stop.signal]);
  const all = asked.prompts.map(async (prompt) => {
    const own: Facts = {};
    const body = bodyOf(parsed, asked, prompt);
    const echoed = asked.echo ? await textOf(ai, prompt) : '';
    const job = { caller, model, body, value, signal, facts: own };
    return { ...(await complete(context, job)), echoed, own };
  });
  const answers = await Promise.all(all).catch((error: unknown) => {
    stop.abort(error);
    throw error;
  });
  const ended = Promise.all(answers.map((one) => one.ended)).then(() =>
    gather(
      facts,
      answers.map(({ own }) => own),
    ),
  );
  const id = `cmpl-${c.get('requestId')}`;
  if (!asked.stream) {
    c.set('ended', ended);
    const wholes = answers.map(({ result, echoed }) => ({
      completion: result as ChatCompletion,
      echoed,
    }));
    return c.json(await textCompletion(ai, id, asked, wholes));
  }
  return answer(c, context, { result: streamOf(id, asked, answers, () => stop.abort()), ended });
}

export const completions: Mount = (app: App, context: WorkerContext) => {
  app.post('/v1/completions', async (c) => {
    await bearer(c, context);
    return completion(c, context, await readJson(c, context));
  });
  // SageMaker's one route for all: what is asked shows in the body.
  app.post('/invocations', async (c) => {
    await bearer(c, context);
    const body = await readJson(c, context);
    const asked = Object(body.value) as object;
    if ('messages' in asked) return chat(c, context, body);
    if ('prompt' in asked) return completion(c, context, body);
    throw badRequest('missing_field', 'there is neither "messages" (a chat) nor "prompt" (a text)');
  });
};

/** The answers' chunks as one stream. */
function streamOf(
  id: string,
  asked: CompletionAsked,
  answers: readonly (Completed & { echoed: string })[],
  cancel: () => void,
): ChatStream {
  const chunks = textChunks(
    id,
    asked,
    answers.map(({ result, echoed }) => ({ chunks: result as ChatStream, echoed })),
  );
  return responseOver<object>({
    async next() {
      const { done, value } = await chunks.next();
      return done ? null : [value];
    },
    whole: () => Promise.reject(new Error('a stream of text completions is read as such')),
    cancel,
  });
}

/** What is said of the request: the sums of its prompts, the first error. */
function gather(facts: Facts, own: readonly Facts[]): void {
  for (const { prompt_tokens = 0, completion_tokens = 0, finish_reason, error } of own) {
    facts.prompt_tokens = (facts.prompt_tokens ?? 0) + prompt_tokens;
    facts.completion_tokens = (facts.completion_tokens ?? 0) + completion_tokens;
    facts.finish_reason ??= finish_reason;
    facts.error ??= error;
  }
}
