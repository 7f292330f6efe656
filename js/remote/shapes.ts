// Owns making an endpoint's objects those of types.ts: the keys that servers leave out are there, and streamed chunks become
// a completion. Called by answer.ts. Surprise: what a server adds stays, and the id that the caller asked for is echoed, as
// the engine here does, whatever the endpoint calls its model.
import { randomHex } from '../json_text.ts';
import { type Fields, isFields } from '../request.ts';
import type { ChatCompletion, ChatCompletionChunk, Choice, ChoiceChunk, Usage } from '../types.ts';

/** What answers lack is filled in from this. */
export interface Wish {
  /** The id that the caller asked for; null: the endpoint's. */
  model: string | null;
  /** The id that the endpoint was asked for. */
  asked: string | null;
  includeUsage: boolean;
}

const list = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isFields) : []);
const textOr = <T>(value: unknown, other: T): string | T =>
  typeof value === 'string' ? value : other;
const numberOr = (value: unknown, other: number): number =>
  typeof value === 'number' ? value : other;

/** `known` with what else `raw` has, in our order of keys. */
const within = <T extends object>(raw: Fields, known: T): T => ({ ...known, ...raw, ...known });

function headOf(raw: Fields, { model, asked }: Wish) {
  return {
    id: textOr(raw['id'], '') || `chatcmpl-${randomHex(32)}`,
    created: numberOr(raw['created'], Math.floor(Date.now() / 1000)),
    model: model ?? textOr(raw['model'], asked ?? ''),
  };
}

function usageOf(raw: unknown): Usage {
  const usage = isFields(raw) ? raw : {};
  const prompt_tokens = numberOr(usage['prompt_tokens'], 0);
  const completion_tokens = numberOr(usage['completion_tokens'], 0);
  const total_tokens = numberOr(usage['total_tokens'], prompt_tokens + completion_tokens);
  return { ...usage, prompt_tokens, total_tokens, completion_tokens };
}

/** A completion of an endpoint's; null when it is none. */
export function completionOf(raw: unknown, wish: Wish): ChatCompletion | null {
  if (!isFields(raw) || !Array.isArray(raw['choices'])) return null;
  const { id, created, model } = headOf(raw, wish);
  const { prompt_tokens_details = null, ...counts } = usageOf(raw['usage']);
  return within<ChatCompletion>(raw, {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: list(raw['choices']).map(choiceOf),
    usage: { ...counts, prompt_tokens_details },
    prompt_logprobs: (raw['prompt_logprobs'] ?? null) as ChatCompletion['prompt_logprobs'],
  });
}

function choiceOf(raw: Fields, at: number): Choice {
  const message = isFields(raw['message']) ? raw['message'] : {};
  return within(raw, {
    index: numberOr(raw['index'], at),
    message: within(message, {
      role: 'assistant',
      reasoning_content: (message['reasoning_content'] ?? null) as null,
      content: textOr(message['content'], null),
      tool_calls: list(message['tool_calls']) as unknown as Choice['message']['tool_calls'],
    }),
    logprobs: (raw['logprobs'] ?? null) as Choice['logprobs'],
    finish_reason: (raw['finish_reason'] ?? 'stop') as Choice['finish_reason'],
    stop_reason: (raw['stop_reason'] ?? null) as Choice['stop_reason'],
  });
}

/** Turns the chunks of one answer into ours. */
export class ChunkReader {
  readonly #wish: Wish;
  #head: ReturnType<typeof headOf> | undefined;
  readonly #finished = new Map<number, boolean>();
  usage: Usage | null = null;

  constructor(wish: Wish) {
    this.#wish = wish;
  }

  /** Whether every choice that has begun has ended. */
  get complete(): boolean {
    return this.#finished.size > 0 && [...this.#finished.values()].every((ended) => ended);
  }

  /** The chunk; null when it shows nothing that was asked for. */
  read(raw: Fields): ChatCompletionChunk | null {
    // Servers differ in whether each chunk has all of these; ours are the same in all of them.
    const { id, created, model } = (this.#head ??= headOf(raw, this.#wish));
    const { usage, ...rest } = raw;
    const choices = list(raw['choices']).map((choice, at) => this.#choice(choice, at));
    if (isFields(usage)) this.usage = usageOf(usage);
    const shown = this.#wish.includeUsage && isFields(usage);
    if (choices.length === 0 && !shown) return null;
    return within<ChatCompletionChunk>(rest, {
      id,
      object: 'chat.completion.chunk',
      created,
      model,
      choices,
      ...(shown && this.usage && { usage: this.usage }),
    });
  }

  #choice(raw: Fields, at: number): ChoiceChunk {
    const { index: given, delta, logprobs, finish_reason } = raw;
    const index = numberOr(given, at);
    const reason = (finish_reason || null) as ChoiceChunk['finish_reason'];
    this.#finished.set(index, (this.#finished.get(index) ?? false) || reason !== null);
    return within(raw, {
      index,
      delta: deltaOf(isFields(delta) ? delta : {}),
      logprobs: (logprobs ?? null) as ChoiceChunk['logprobs'],
      finish_reason: reason,
    });
  }
}

function deltaOf(raw: Fields): ChoiceChunk['delta'] {
  const { content, tool_calls, ...rest } = raw;
  const calls = list(tool_calls).map(({ index, function: named, ...call }, at) => {
    const { name, arguments: fragment } = isFields(named) ? named : ({} as Fields);
    const known = { ...(typeof name === 'string' && { name }), arguments: textOr(fragment, '') };
    return { index: numberOr(index, at), ...call, function: known };
  });
  return {
    ...rest,
    ...(typeof content === 'string' && { content }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

/** The chunks of a completion that came whole although a stream was asked for. */
export function chunksOf(
  { choices, usage, ...completion }: ChatCompletion,
  includeUsage: boolean,
): ChatCompletionChunk[] {
  const { id, created, model } = completion;
  const chunk = (some: ChoiceChunk[]): ChatCompletionChunk => {
    return { id, object: 'chat.completion.chunk', created, model, choices: some };
  };
  const of = (index: number, delta: ChoiceChunk['delta']): ChoiceChunk => {
    return { index, delta, logprobs: null, finish_reason: null };
  };
  const chunks: ChatCompletionChunk[] = choices.map(({ index }) =>
    chunk([of(index, { role: 'assistant', content: '' })]),
  );
  for (const { index, message, logprobs, finish_reason, stop_reason } of choices) {
    if (message.content || logprobs)
      chunks.push(chunk([{ ...of(index, { content: message.content ?? '' }), logprobs }]));
    for (const [at, call] of message.tool_calls.entries())
      chunks.push(chunk([of(index, { tool_calls: [{ index: at, ...call }] })]));
    chunks.push(chunk([{ ...of(index, { content: '' }), finish_reason, stop_reason }]));
  }
  if (includeUsage) chunks.push({ ...chunk([]), usage });
  return chunks;
}

/** Puts the chunks of one answer together. */
export class ChunkGatherer {
  #first: ChatCompletionChunk | undefined;
  #promptIds: number[] | undefined;
  readonly #choices = new Map<number, Choice>();

  add(chunk: ChatCompletionChunk): void {
    this.#first ??= chunk;
    this.#promptIds ??= chunk.prompt_token_ids;
    for (const piece of chunk.choices) this.#piece(piece);
  }

  #piece({ index, delta, logprobs, finish_reason, stop_reason, token_ids }: ChoiceChunk): void {
    let choice = this.#choices.get(index);
    if (!choice) {
      const message: Choice['message'] = {
        role: 'assistant',
        reasoning_content: null,
        content: '',
        tool_calls: [],
      };
      choice = { index, message, logprobs: null, finish_reason: 'stop', stop_reason: null };
      this.#choices.set(index, choice);
    }
    const { message } = choice;
    message.content += delta.content ?? '';
    for (const { index: at, id, function: part } of delta.tool_calls ?? []) {
      const call = (message.tool_calls[at] ??= {
        id: id ?? '',
        type: 'function',
        function: { name: '', arguments: '' },
      });
      call.function.name += part.name ?? '';
      call.function.arguments += part.arguments;
    }
    if (logprobs)
      choice.logprobs = { content: [...(choice.logprobs?.content ?? []), ...logprobs.content] };
    if (finish_reason) choice.finish_reason = finish_reason;
    choice.stop_reason = stop_reason ?? choice.stop_reason;
    if (token_ids) choice.token_ids = [...(choice.token_ids ?? []), ...token_ids];
  }

  /** The completion; `usage` as far as the endpoint has told it. */
  whole(usage: Usage | null): ChatCompletion {
    const { id = '', created = 0, model = '' } = this.#first ?? {};
    const choices = [...this.#choices.values()].sort((a, b) => a.index - b.index);
    for (const { message } of choices)
      if (message.content === '' && message.tool_calls.length > 0) message.content = null;
    const { prompt_tokens_details = null, ...counts } = usageOf(usage);
    return {
      id,
      object: 'chat.completion',
      created,
      model,
      choices,
      usage: { ...counts, prompt_tokens_details },
      prompt_logprobs: null,
      ...(this.#promptIds && { prompt_token_ids: this.#promptIds }),
    };
  }
}
