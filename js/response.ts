// Owns the shapes of answers: a request's events become the chat.completion object or its chunks. Called by ai.ts and
// stream.ts. Surprise: the order of keys is part of the contract, byte for byte, and so is which keys are absent.
import type {
  CoreEvent,
  CoreUsage,
  FinishReason,
  ImageInfo,
  LogprobEntry,
  ToolDelta,
} from './abi/calls.ts';
import { fromCore } from './errors.ts';
import { randomHex } from './json_text.ts';
import type { PreparedRequest } from './request.ts';
import type { EngineEvent } from './thread/protocol.ts';
import type {
  ChatCompletion,
  ChatCompletionChunk,
  Choice,
  ChoiceChunk,
  ImageSize,
  Logprobs,
  PromptTokensDetails,
  ToolCall,
  Usage,
} from './types.ts';

/** What every piece of one answer shares. */
export interface Head {
  id: string;
  created: number;
  model: string;
}

export function headOf(model: string, requestId: string | null): Head {
  const id = `chatcmpl-${requestId ?? randomHex(32)}`;
  return { id, created: Math.floor(Date.now() / 1000), model };
}

const toolCallId = (): string => `chatcmpl-tool-${randomHex(32)}`;

type Delta = CoreEvent & { type: 'delta' };
type Finish = CoreEvent & { type: 'finish' };

interface Gathered {
  text: string;
  calls: ToolCall[];
  logprobs: LogprobEntry[];
  tokenIds: number[];
  reason: FinishReason;
  stopReason: string | number | null;
}

/** Gathers the events of one request into the object of a non-streamed answer. */
export class CompletionBuilder {
  readonly #head: Head;
  readonly #request: PreparedRequest;
  readonly #choices = new Map<number, Gathered>();
  #promptIds: number[] | undefined;
  #images: ImageInfo[] = [];

  constructor(head: Head, request: PreparedRequest) {
    this.#head = head;
    this.#request = request;
  }

  /** Returns the completion after the last event, null before. Throws an OcelliError for an error event. */
  add(event: EngineEvent): ChatCompletion | null {
    if (event.type === 'error') throw fromCore(event);
    if (event.type === 'prompt') {
      this.#promptIds = event.prompt_token_ids;
      this.#images = event.images;
    }
    if (event.type === 'delta') this.#delta(event);
    if (event.type === 'finish') {
      const choice = this.#choice(event.index);
      choice.reason = event.reason;
      choice.stopReason = event.stop_reason;
    }
    return event.type === 'done' ? this.#whole(event) : null;
  }

  #choice(index: number): Gathered {
    let choice = this.#choices.get(index);
    if (!choice) {
      choice = {
        text: '',
        calls: [],
        logprobs: [],
        tokenIds: [],
        reason: 'stop',
        stopReason: null,
      };
      this.#choices.set(index, choice);
    }
    return choice;
  }

  #delta(event: Delta): void {
    const choice = this.#choice(event.index);
    choice.text += event.text ?? '';
    choice.logprobs.push(...(event.logprobs ?? []));
    choice.tokenIds.push(...(event.token_ids ?? []));
    for (const { index, name = '', arguments: fragment = '' } of event.tool_calls ?? []) {
      const call = (choice.calls[index] ??= {
        id: toolCallId(),
        type: 'function',
        function: { name: '', arguments: '' },
      });
      call.function.name += name;
      call.function.arguments += fragment;
    }
  }

  #whole({ usage, prompt_logprobs }: CoreEvent & { type: 'done' }): ChatCompletion {
    const { id, created, model } = this.#head;
    const choices = [...this.#choices.entries()]
      .sort(([a], [b]) => a - b)
      .map(([index, one]) => this.#one(index, one));
    const whole: ChatCompletion = {
      id,
      object: 'chat.completion',
      created,
      model,
      choices,
      usage: {
        ...usageOf(usage.prompt_tokens, usage.completion_tokens),
        prompt_tokens_details: this.#request.promptTokensDetails ? detailsOf(usage) : null,
      },
      prompt_logprobs: prompt_logprobs ?? null,
    };
    if (this.#request.returnTokenIds) whole.prompt_token_ids = this.#promptIds ?? [];
    if (this.#request.returnImageSizes) whole.images = this.#images.map(sizeOf);
    return whole;
  }

  #one(index: number, one: Gathered): Choice {
    const content =
      one.text === '' && one.calls.length > 0 && !this.#request.namedTool ? null : one.text;
    const choice: Choice = {
      index,
      message: { role: 'assistant', reasoning_content: null, content, tool_calls: one.calls },
      logprobs: this.#request.logprobs ? { content: one.logprobs } : null,
      finish_reason: one.reason,
      stop_reason: one.stopReason,
    };
    if (this.#request.returnTokenIds) choice.token_ids = one.tokenIds;
    return choice;
  }
}

const sizeOf = ({ width, height, source_width, source_height }: ImageInfo): ImageSize => ({
  width,
  height,
  source_width,
  source_height,
});

const detailsOf = ({ cached_tokens }: CoreUsage): PromptTokensDetails => ({ cached_tokens });

function usageOf(prompt: number, completion: number): Usage {
  return {
    prompt_tokens: prompt,
    total_tokens: prompt + completion,
    completion_tokens: completion,
  };
}

/** Turns the events of one request into the chunks of a streamed answer. */
export class ChunkMaker {
  readonly #head: Head;
  readonly #request: PreparedRequest;
  readonly #tokens = new Map<number, number>();
  readonly #named = new Set<string>();
  #promptTokens = 0;
  #promptIds: number[] | undefined;
  #images: ImageInfo[] | undefined;

  constructor(head: Head, request: PreparedRequest) {
    this.#head = head;
    this.#request = request;
  }

  /** The chunks of one event, in order. Throws an OcelliError for an error event. */
  add(event: EngineEvent): ChatCompletionChunk[] {
    switch (event.type) {
      case 'error':
        throw fromCore(event);
      case 'prompt':
        this.#promptTokens = event.prompt_tokens;
        this.#promptIds = event.prompt_token_ids;
        this.#images = event.images;
        return Array.from({ length: this.#request.choices }, (_, index) => this.#role(index));
      case 'delta':
        return [...this.#first(event.index), ...this.#delta(event)];
      case 'finish':
        return [...this.#first(event.index), this.#finish(event)];
      case 'done':
        return this.#request.includeUsage ? [this.#usageChunk(event.usage)] : [];
      default:
        return [];
    }
  }

  #first(index: number): ChatCompletionChunk[] {
    return this.#tokens.has(index) ? [] : [this.#role(index)];
  }

  #role(index: number): ChatCompletionChunk {
    this.#tokens.set(index, 0);
    const chunk = this.#chunk({
      index,
      delta: { role: 'assistant', content: '' },
      logprobs: null,
      finish_reason: null,
    });
    if (this.#request.returnTokenIds && this.#promptIds) {
      chunk.prompt_token_ids = this.#promptIds;
      this.#promptIds = undefined;
    }
    if (this.#request.returnImageSizes && this.#images) {
      chunk.images = this.#images.map(sizeOf);
      this.#images = undefined;
    }
    return chunk;
  }

  #delta(event: Delta): ChatCompletionChunk[] {
    const { index } = event;
    const count = event.tokens ?? event.token_ids?.length ?? 0;
    this.#tokens.set(index, (this.#tokens.get(index) ?? 0) + count);
    const deltas: ChoiceChunk['delta'][] = [];
    if (event.text) deltas.push({ content: event.text });
    for (const call of event.tool_calls ?? []) deltas.push(...this.#toolDeltas(index, call));
    let logprobs: Logprobs | null =
      this.#request.logprobs && event.logprobs?.length ? { content: event.logprobs } : null;
    let ids = this.#request.returnTokenIds ? event.token_ids : undefined;
    // A token may show nothing yet; what was asked about it is told at once all the same.
    if (deltas.length === 0 && (logprobs || ids?.length)) deltas.push({ content: '' });
    return deltas.map((delta) => {
      const choice: ChoiceChunk = { index, delta, logprobs, finish_reason: null };
      if (this.#request.returnTokenIds) choice.token_ids = ids ?? [];
      // They belong to the event, so its first chunk carries them.
      logprobs = null;
      ids = [];
      return this.#chunk(choice);
    });
  }

  /** One element a chunk: a call's first has id, type, name and no arguments yet. */
  #toolDeltas(choice: number, call: ToolDelta): ChoiceChunk['delta'][] {
    const { index, name, arguments: fragment } = call;
    const deltas: ChoiceChunk['delta'][] = [];
    const key = `${choice}/${index}`;
    if (!this.#named.has(key)) {
      this.#named.add(key);
      const start = { name: name ?? '', arguments: '' };
      deltas.push({ tool_calls: [{ index, id: toolCallId(), type: 'function', function: start }] });
    }
    if (fragment) deltas.push({ tool_calls: [{ index, function: { arguments: fragment } }] });
    return deltas;
  }

  #finish(event: Finish): ChatCompletionChunk {
    const choice: ChoiceChunk = {
      index: event.index,
      delta: { content: '' },
      logprobs: null,
      finish_reason: event.reason,
      stop_reason: event.stop_reason,
    };
    if (this.#request.returnTokenIds) choice.token_ids = [];
    return this.#chunk(choice);
  }

  #chunk(choice: ChoiceChunk): ChatCompletionChunk {
    const { id, created, model } = this.#head;
    const chunk: ChatCompletionChunk = {
      id,
      object: 'chat.completion.chunk',
      created,
      model,
      choices: [choice],
    };
    if (this.#request.continuousUsage) {
      chunk.usage = usageOf(this.#promptTokens, this.#tokens.get(choice.index) ?? 0);
    }
    return chunk;
  }

  #usageChunk(usage: CoreUsage): ChatCompletionChunk {
    const { id, created, model } = this.#head;
    return {
      id,
      object: 'chat.completion.chunk',
      created,
      model,
      choices: [],
      usage: {
        ...usageOf(usage.prompt_tokens, usage.completion_tokens),
        ...(this.#request.promptTokensDetails && { prompt_tokens_details: detailsOf(usage) }),
      },
    };
  }
}
