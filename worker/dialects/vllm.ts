// Owns the utility routes of vLLM's server. Called by app.ts through all.ts. Surprise: the tokens of a chat are those of a
// completion that ends with its prompt (`tokenize_only`), so templates, tools and images count as they do there.
import { OcelliError } from '../../js/errors.ts';
import type { ChatCompletion } from '../../js/types.ts';
import { readJson } from '../body.ts';
import type { App, Mount, RouteContext, WorkerContext } from '../context.ts';
import { draining, Refusal, retryAfter } from '../errors.ts';
import type { Reading } from '../metrics.ts';
import { detokenizeBody, tokenizeChat, tokenizePrompt, valid } from '../schemas.ts';
import { bearer, checkModel, loaded, modelIn } from './openai.ts';

export const vllm: Mount = (app: App, context: WorkerContext) => {
  const { ai, queue, metrics } = context;

  const health = async (): Promise<Response> => {
    if (queue.stopped) throw draining();
    if (context.loading())
      throw new Refusal(503, 'loading', 'the model is being loaded', { headers: retryAfter(5) });
    return new Response(null, { headers: { 'content-length': '0' } });
  };
  app.get('/health', health);
  app.on(['GET', 'POST'], '/ping', health);
  app.get('/version', (c) => c.json({ version: context.version }));
  app.get('/load', (c) => c.json({ server_load: queue.running + queue.waiting }));
  app.get('/metrics', async (c) => {
    const [{ name }, stats] = await Promise.all([loaded(context), ai.stats()]);
    const {
      kv_blocks: blocks = 0,
      kv_blocks_free: free = 0,
      requests = 0,
      preemptions = 0,
      prefix_queries: asked = 0,
      prefix_hits: found = 0,
      guessed_tokens: guessed = 0,
      accepted_tokens: accepted = 0,
    } = stats as Record<string, number>;
    const readings: Record<string, Reading> = {
      num_requests_running: { help: 'Requests that are computed.', value: queue.running },
      num_requests_waiting: { help: 'Requests that wait.', value: queue.waiting },
      num_requests_in_engine: { help: 'Requests that the engine holds.', value: requests },
      num_preemptions_total: {
        ...{ help: 'Prompts computed again for want of room.', value: preemptions },
        kind: 'counter',
      },
      spec_decode_num_draft_tokens_total: {
        ...{ help: 'Tokens computed before they were drawn.', value: guessed },
        kind: 'counter',
      },
      spec_decode_num_accepted_tokens_total: {
        ...{ help: 'Of them, those that were drawn.', value: accepted },
        kind: 'counter',
      },
      gpu_cache_usage_perc: {
        help: 'The part of the KV cache in use, 0 to 1.',
        value: blocks > 0 ? (blocks - free) / blocks : 0,
      },
      gpu_prefix_cache_queries_total: {
        ...{ help: 'Tokens of prompts that were looked for in the cache.', value: asked },
        kind: 'counter',
      },
      gpu_prefix_cache_hits_total: {
        ...{ help: 'Tokens of prompts that were found there.', value: found },
        kind: 'counter',
      },
      cache_config_info: {
        ...{ help: 'The KV cache.', value: 1 },
        labels: [['num_gpu_blocks', String(blocks)]],
      },
    };
    return c.body(metrics.text(name ?? '', readings), 200, {
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    });
  });

  app.post('/tokenize', async (c) => {
    await bearer(c, context);
    const { text, value } = await readJson(c, context);
    const tokens =
      Object(value).messages === undefined
        ? await textTokens(context, valid(tokenizePrompt, value))
        : await promptTokens(c, context, text, valid(tokenizeChat, value));
    const { most } = await loaded(context);
    return c.json({ count: tokens.length, max_model_len: most, tokens });
  });
  app.post('/detokenize', async (c) => {
    await bearer(c, context);
    const { tokens, model = null } = valid(detokenizeBody, (await readJson(c, context)).value);
    await checkModel(context, model);
    return c.json({ prompt: await ai.detokenize(tokens) });
  });
};

/** The ids of a text. */
async function textTokens(
  context: WorkerContext,
  { prompt, model = null }: { prompt: string; model?: string | null | undefined },
): Promise<number[]> {
  await checkModel(context, model);
  return context.ai.tokenize(prompt);
}

/** The ids of a chat's prompt. */
async function promptTokens(
  c: RouteContext,
  context: WorkerContext,
  text: string,
  value: unknown,
): Promise<number[]> {
  // Put behind what is there: of two keys of the same name the last one counts.
  const body = text.replace(
    /\}\s*$/,
    ',"stream":false,"tokenize_only":true,"return_token_ids":true}',
  );
  const { signal } = c.req.raw;
  const leave = await context.queue.enter(signal);
  try {
    const counted = await context.ai.run(modelIn(value), body, { signal });
    const { prompt_token_ids: ids } = counted as ChatCompletion;
    if (!ids) throw new OcelliError(500, 'internal_error', 'the prompt has no tokens');
    return ids;
  } finally {
    leave();
  }
}
