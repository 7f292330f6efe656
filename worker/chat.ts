// Owns one chat completion on its way through the server: admitted, queued, computed, counted. Called by every dialect.
// Surprise: a place in the queue is given back when the engine has ended the request, not when the client has read the
// answer; a client that leaves aborts `signal`, and the engine ends the request before its next step.
import type { RunExtras } from '../js/ai.ts';
import type { EngineEvent } from '../js/thread/protocol.ts';
import { badRequest, OcelliError } from '../js/errors.ts';
import type { ChatCompletion, ChatStream } from '../js/types.ts';
import { onAbort } from './abort.ts';
import type { Facts, WorkerContext } from './context.ts';
import type { Caller } from './keys.ts';
import { Refusal } from './errors.ts';

export interface Job {
  caller: Caller;
  model: string | null;
  /** The chat-completions body as text; its "model" and "stream" are those of the answer. */
  body: string;
  /** The same, parsed. */
  value: unknown;
  /** Aborted when the client is gone. */
  signal: AbortSignal;
  /** Filled in as things become known. */
  facts: Facts;
  /** The hexadecimal part of the completion's id; random by default. */
  requestId?: string;
}

export interface Completed {
  result: ChatCompletion | ChatStream;
  /** Resolves when the engine has ended the request, so that job.facts are all there. */
  ended: Promise<void>;
}

/** Computes one. Rejects with an OcelliError (a Refusal where the server says no), or the signal's reason. */
export async function complete(context: WorkerContext, job: Job): Promise<Completed> {
  checkImages(job.value, context.limits.imagesMax);
  const { signal, settle } = lifeOf(context, job.signal);
  let release = settle;
  const note = noteTaker(context, job);
  try {
    const leave = await context.queue.enter(signal);
    note('started');
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => (end = resolve));
    release = () => {
      leave();
      settle();
      end();
    };
    const extras: RunExtras = {
      signal,
      onEvent(event) {
        note(event);
        if (event.type === 'done' || event.type === 'error') release();
      },
      requestId: job.requestId,
    };
    const result = await context.ai.run(job.model, job.body, extras);
    return { result, ended };
  } catch (error) {
    release();
    throw error;
  }
}

/** Gets what happens to a job: fills in its facts, counts, charges. */
function noteTaker(
  { clock, keys, metrics }: WorkerContext,
  { caller, facts, value }: Job,
): (event: EngineEvent | 'started') => void {
  const begin = clock();
  const seconds = (since = begin): number => (clock() - since) / 1000;
  let started = begin;
  let first: number | undefined;
  /** Tokens of each choice. */
  const choices: number[] = [];
  return (event) => {
    if (event === 'started') {
      started = clock();
      return metrics.observe('request_queue_time_seconds', seconds());
    }
    if (event.type === 'prompt') facts.prompt_tokens = event.prompt_tokens;
    if (event.type === 'delta') {
      choices[event.index] = (choices[event.index] ?? 0) + (event.tokens ?? 0);
      // What only repeats the prompt has no token.
      if (first === undefined && event.tokens !== 0) {
        first = clock();
        metrics.observe('time_to_first_token_seconds', seconds());
      }
    }
    if (event.type === 'finish') {
      facts.finish_reason = event.reason;
      metrics.count('request_success_total', 1, event.reason);
    }
    if (event.type === 'error') {
      facts.error = event.code;
      metrics.count('request_failure_total', 1, event.code);
    }
    if (event.type !== 'done') return;
    const { prompt_tokens, completion_tokens } = event.usage;
    Object.assign(facts, { prompt_tokens, completion_tokens });
    keys.charge(caller, prompt_tokens + completion_tokens);
    metrics.count('prompt_tokens_total', prompt_tokens);
    metrics.count('generation_tokens_total', completion_tokens);
    metrics.observe('request_prompt_tokens', prompt_tokens);
    metrics.observe('request_generation_tokens', completion_tokens);
    metrics.observe('request_max_num_generation_tokens', Math.max(0, ...choices));
    const { n, max_tokens, max_completion_tokens } = Object(value) as Record<string, unknown>;
    metrics.observe('request_params_n', typeof n === 'number' ? n : 1);
    const most = max_completion_tokens ?? max_tokens;
    if (typeof most === 'number') metrics.observe('request_params_max_tokens', most);
    metrics.observe('e2e_request_latency_seconds', seconds());
    metrics.observe('request_inference_time_seconds', seconds(started));
    if (event.timing) {
      metrics.observe('request_prefill_time_seconds', event.timing.first_token_ms / 1000);
      metrics.observe('request_decode_time_seconds', event.timing.decode_ms / 1000);
    }
    if (first !== undefined && completion_tokens > 1)
      metrics.observe('time_per_output_token_seconds', seconds(first) / (completion_tokens - 1));
  };
}

/** A signal that ends the job: the client is gone, its time is over, the server ends. */
function lifeOf(
  { limits, ending }: WorkerContext,
  client: AbortSignal,
): { signal: AbortSignal; settle: () => void } {
  const life = new AbortController();
  const gone = (): void =>
    life.abort(new OcelliError(499, 'client_closed', 'the client closed the connection'));
  const over = (): void =>
    life.abort(
      new Refusal(504, 'deadline_exceeded', `the request took longer than ${limits.requestMs} ms`),
    );
  const ended = (): void =>
    life.abort(new Refusal(503, 'shutting_down', 'the server is shutting down'));
  const follows = [onAbort(client, gone), onAbort(ending, ended)];
  const timer = limits.requestMs > 0 ? setTimeout(over, limits.requestMs) : undefined;
  return {
    signal: life.signal,
    settle() {
      clearTimeout(timer);
      for (const leave of follows) leave();
    },
  };
}

/** Throws a BadRequestError for more images than a request may have. */
function checkImages(value: unknown, limit: number): void {
  const { messages } = (value ?? {}) as { messages?: unknown };
  if (!Array.isArray(messages)) return;
  let images = 0;
  for (const message of messages as unknown[]) {
    const { content } = (message ?? {}) as { content?: unknown };
    if (!Array.isArray(content)) continue;
    for (const part of content as unknown[]) {
      const fields = Object(part) as Record<string, unknown>;
      const type = fields['type'];
      if ('image_url' in fields || 'image' in fields || /^(input_)?image/.test(String(type)))
        images++;
    }
  }
  if (images > limit)
    throw badRequest(
      'too_many_images',
      `At most ${limit} image(s) may be provided in one request, got ${images}.`,
      'messages',
    );
}
