// Owns text completions, the API before chats: one body becomes a request to the engine for each of its prompts, their answers
// become one text_completion. Called by dialects/completions.ts. Surprise: what is echoed is put there here, and with
// max_tokens 0 a token is computed all the same and left out, since the core answers nothing with nothing.
import type { AI } from '../js/ai.ts';
import type { LogprobEntry } from '../js/abi/calls.ts';
import { badRequest } from '../js/errors.ts';
import { type ParsedBody, streamingOf } from '../js/request.ts';
import type { ChatCompletion, ChatCompletionChunk, Choice, Usage } from '../js/types.ts';
import { completionOwn, valid } from './schemas.ts';

type Prompt = string | number[];

/** What is asked, less what the core checks. */
export interface CompletionAsked {
  prompts: Prompt[];
  /** Choices of each prompt. */
  n: number;
  echo: boolean;
  /** How many likely tokens to list at each; null: no lists. */
  logprobs: number | null;
  /** Nothing is wanted but the echo. */
  onlyEcho: boolean;
  stream: boolean;
  includeUsage: boolean;
}

/** A prompt's answer and what stands before it. */
export interface Answered {
  completion: ChatCompletion;
  echoed: string;
}

/** The lists of the old API; offsets are in characters of the choice's text. */
interface TokenLists {
  text_offset: number[];
  token_logprobs: (number | null)[];
  tokens: string[];
  top_logprobs: (Record<string, number> | null)[];
}

const tokensMax = 16;

/** Throws a BadRequestError for what is not right, or not done here. */
export function completionAsked(value: unknown, promptsMax: number): CompletionAsked {
  const { prompt, echo, logprobs, suffix, max_tokens, n, ...rest } = valid(completionOwn, value);
  if (suffix)
    throw badRequest('unsupported_feature', 'suffix is not supported: it must be absent', 'suffix');
  const several = Array.isArray(prompt) && typeof prompt[0] !== 'number';
  const prompts = (several ? prompt : [prompt]) as Prompt[];
  if (prompts.length === 0 || prompts.length > promptsMax)
    throw badRequest(
      'invalid_value',
      `prompt must hold 1 to ${promptsMax} prompts, got ${prompts.length}`,
      'prompt',
    );
  const { stream, includeUsage } = streamingOf(rest);
  if (stream && echo && (logprobs ?? null) !== null)
    throw badRequest(
      'unsupported_feature',
      'logprobs with echo are not available when `stream=True`.',
      'logprobs',
    );
  const onlyEcho = echo === true && max_tokens === 0;
  return {
    ...{ prompts, n: n ?? 1, echo: echo === true, logprobs: logprobs ?? null },
    ...{ onlyEcho, stream, includeUsage },
  };
}

/** The core's body for one of the prompts. */
export function bodyOf(
  { fields, stringify }: ParsedBody,
  { echo, logprobs, onlyEcho, stream }: CompletionAsked,
  prompt: Prompt,
): string {
  const dropped = ['messages', 'tools', 'tool_choice', 'echo', 'suffix', 'model'];
  const kept = Object.fromEntries(
    Object.entries(fields).filter(([name]) => !dropped.includes(name)),
  );
  const listed = echo && logprobs !== null;
  return stringify({
    ...kept,
    ...{ prompt, max_tokens: onlyEcho ? 1 : (fields['max_tokens'] ?? tokensMax) },
    ...{ logprobs: logprobs !== null, top_logprobs: logprobs ?? 0 },
    ...(listed && { prompt_logprobs: logprobs, return_token_ids: true }),
    // Counted for all prompts together; a client sees it if it asked.
    ...(stream && { stream_options: { ...Object(kept['stream_options']), include_usage: true } }),
  });
}

/** What a prompt is as text. */
export async function textOf(ai: AI, prompt: Prompt): Promise<string> {
  return typeof prompt === 'string' ? prompt : ai.detokenize(prompt, { skipSpecial: true });
}

/** The answers to all prompts, in their order, as one. */
export async function textCompletion(
  ai: AI,
  id: string,
  asked: CompletionAsked,
  answers: readonly Answered[],
): Promise<object> {
  const { echo, logprobs, onlyEcho, n } = asked;
  const choices: object[] = [];
  const usage = noUsage();
  for (const [p, { completion, echoed }] of answers.entries()) {
    const before = echo && logprobs !== null ? await promptLists(ai, completion, logprobs) : [];
    for (const choice of completion.choices)
      choices.push({
        index: p * n + choice.index,
        text: echoed + (onlyEcho ? '' : choice.message.content),
        logprobs: logprobs === null ? null : listsOf([...before, ...entriesOf(choice, asked)], 0),
        finish_reason: onlyEcho ? 'length' : choice.finish_reason,
        stop_reason: onlyEcho ? null : choice.stop_reason,
        prompt_logprobs: completion.prompt_logprobs,
      });
    add(usage, completion.usage, onlyEcho);
  }
  const { created, model } = (answers[0] as Answered).completion;
  return {
    ...{ id, object: 'text_completion', created, model, choices },
    usage: { ...usage, prompt_tokens_details: usage.prompt_tokens_details ?? null },
  };
}

/** The chunks of all prompts, one prompt after the other. */
export async function* textChunks(
  id: string,
  { n, logprobs, onlyEcho, includeUsage }: CompletionAsked,
  answers: readonly { chunks: AsyncIterable<ChatCompletionChunk>; echoed: string }[],
): AsyncGenerator<object, void, undefined> {
  const usage = noUsage();
  let head = {};
  for (const [p, { chunks, echoed }] of answers.entries()) {
    const offsets = new Map<number, number>();
    for await (const { created, model, choices, usage: used } of chunks) {
      head = { id, object: 'text_completion', created, model };
      if (choices.length === 0 && used) add(usage, used, onlyEcho);
      for (const { index, delta, logprobs: listed, finish_reason, stop_reason } of choices) {
        const text = delta.role ? echoed : onlyEcho ? '' : (delta.content ?? '');
        const entries = (logprobs !== null && !onlyEcho && listed?.content) || [];
        if (text === '' && entries.length === 0 && finish_reason === null) continue;
        const offset = offsets.get(index) ?? 0;
        offsets.set(index, offset + lengthOf(entries.map(tokenOf)));
        const choice = {
          index: p * n + index,
          text,
          logprobs: entries.length > 0 ? listsOf(entries.map(entryOf(logprobs)), offset) : null,
          finish_reason: onlyEcho && finish_reason !== null ? 'length' : finish_reason,
          stop_reason: onlyEcho ? null : (stop_reason ?? null),
        };
        yield { ...head, choices: [choice], usage: used ?? null };
      }
    }
  }
  if (includeUsage) yield { ...head, choices: [], usage };
}

const noUsage = (): Usage => ({ prompt_tokens: 0, total_tokens: 0, completion_tokens: 0 });

function add(sum: Usage, used: Usage, onlyEcho: boolean): void {
  const { prompt_tokens, completion_tokens, prompt_tokens_details: details } = used;
  if (details)
    sum.prompt_tokens_details = {
      cached_tokens: (sum.prompt_tokens_details?.cached_tokens ?? 0) + details.cached_tokens,
    };
  sum.prompt_tokens += prompt_tokens;
  sum.completion_tokens += onlyEcho ? 0 : completion_tokens;
  sum.total_tokens = sum.prompt_tokens + sum.completion_tokens;
}

/** A token of the lists: null where nothing is known of how likely it was. */
interface Entry {
  token: string;
  logprob: number | null;
  top: Record<string, number> | null;
}

const tokenOf = ({ token }: { token: string }): string => token;
/** In characters as people count them, not in UTF-16. */
const lengthOf = (tokens: readonly string[]): number =>
  tokens.reduce((sum, token) => sum + [...token].length, 0);

/** The token itself and the `most` likeliest, as one object. */
const entryOf =
  (most: number | null) =>
  ({ token, logprob, top_logprobs: top }: LogprobEntry): Entry => ({
    ...{ token, logprob },
    top: Object.fromEntries([
      [token, logprob],
      ...top.slice(0, most ?? 0).map((one): [string, number] => [one.token, one.logprob]),
    ]),
  });

const entriesOf = ({ logprobs }: Choice, asked: CompletionAsked): Entry[] =>
  asked.onlyEcho ? [] : (logprobs?.content ?? []).map(entryOf(asked.logprobs));

function listsOf(entries: readonly Entry[], offset: number): TokenLists {
  let at = offset;
  const text_offset = entries.map(({ token }) => {
    const here = at;
    at += lengthOf([token]);
    return here;
  });
  return {
    text_offset,
    token_logprobs: entries.map(({ logprob }) => logprob),
    tokens: entries.map(tokenOf),
    top_logprobs: entries.map(({ top }) => top),
  };
}

/** The tokens of a prompt, of which the first follows nothing. */
async function promptLists(
  ai: AI,
  { prompt_logprobs: listed, prompt_token_ids: ids = [] }: ChatCompletion,
  most: number,
): Promise<Entry[]> {
  type Known = Record<string, { logprob: number; rank: number; decoded_token: string }>;
  const entries: Entry[] = [];
  for (const [i, id] of ids.entries()) {
    const known = (listed?.[i] ?? null) as Known | null;
    const own = known?.[id];
    if (!known || !own) {
      entries.push({ token: await ai.detokenize([id]), logprob: null, top: null });
      continue;
    }
    const likely = Object.values(known)
      .filter((one) => one !== own && one.rank <= most)
      .sort((a, b) => a.rank - b.rank);
    const top = [own, ...likely].map((one): [string, number] => [one.decoded_token, one.logprob]);
    entries.push({ token: own.decoded_token, logprob: own.logprob, top: Object.fromEntries(top) });
  }
  return entries;
}
