// Owns what `ocelli bench` measures: a prompt, decoding, an image, each as steps of the core that are timed one by one.
// Called by bench.ts. Surprise: every run has another text and another picture, so that no cache of the engine can answer
// for the work.
import type { Calls, CoreEvent } from '../abi/calls.ts';
import { badRequest, fromCore } from '../errors.ts';
import { testPicture } from './bench_image.ts';

/** Milliseconds of one stretch of steps. */
export interface Span {
  /** Inside the core. */
  coreMs: number;
  /** Beside it: reading events as JSON, and the loop itself. */
  hostMs: number;
  steps: number;
}

export interface Rate extends Span {
  tokens: number;
  tokensPerSecond: number;
}

export interface ImageTimes {
  decode: number;
  resize: number;
  vision: number;
  prompt: number;
  total: number;
  imageTokens: number;
}

type RequestEvent = { request: number; event: CoreEvent };

export class Bench {
  private readonly calls: Calls;
  private readonly engine: number;
  private runs = 0;

  constructor(calls: Calls, engine: number) {
    this.calls = calls;
    this.engine = engine;
  }

  /** `batch` prompts of `tokens` tokens, to the first token of each answer. */
  prompt(tokens: number, batch: number): Rate {
    const requests = this.openTexts(tokens, 1, batch);
    const span = this.untilFirst(requests);
    this.close(requests);
    return rate(span, tokens * batch);
  }

  /** `steps` steps of `batch` answers at once, each after `context` tokens that are only assumed (0: a short prompt). */
  decode(context: number, steps: number, batch: number): Rate {
    const assumed = Math.floor(context / 16) * 16;
    const tokens = assumed > 0 ? assumed + 1 : this.templateTokens() + 1;
    const requests = this.openTexts(tokens, steps + batch + 2, batch);
    if (assumed > 0) {
      for (const request of requests) this.calls.requestAssume(this.engine, request, assumed);
    }
    this.untilFirst(requests);
    const span: Span = { coreMs: 0, hostMs: 0, steps: 0 };
    while (span.steps < steps) {
      const made = this.step(span).reduce((sum, { event }) => sum + tokensOf(event), 0);
      if (made !== batch) throw new Error(`a step gave ${made} tokens to ${batch} sequences`);
    }
    this.close(requests);
    return rate(span, steps * batch);
  }

  /** A picture of which the model sees `side` x `side` pixels, to the first token about it. */
  image(side: number): ImageTimes {
    // Larger than what is seen, as pictures are, so that it has to be resized.
    const file = testPicture(Math.round(side * 1.5), ++this.runs);
    const start = performance.now();
    const media = this.calls.mediaPut(this.engine, file);
    const decode = performance.now() - start;
    const part = { type: 'image', media, min_pixels: 784, max_pixels: side * side + 1 };
    const content = [part, { type: 'text', text: 'What is this?' }];
    const request = this.calls.requestOpen(this.engine, bodyOf(content, 1));
    const times = { decode, resize: 0, vision: 0, prompt: 0, total: 0, imageTokens: 0 };
    for (let ended = false; !ended; ) {
      const span: Span = { coreMs: 0, hostMs: 0, steps: 0 };
      const events = this.step(span).map(({ event }) => event);
      const vision = events.find((one) => one.type === 'progress' && one.stage === 'vision');
      const begun = vision?.type === 'progress' && vision.done === 0;
      times[begun ? 'resize' : vision ? 'vision' : 'prompt'] += span.coreMs;
      for (const event of events) {
        if (event.type === 'prompt') times.imageTokens = imageTokens(event);
        ended ||= event.type === 'delta';
      }
    }
    this.close([request]);
    this.calls.mediaDrop(this.engine, media);
    times.total = times.decode + times.resize + times.vision + times.prompt;
    return times;
  }

  /** Tokens of a prompt around its text. */
  templateTokens(): number {
    const request = this.calls.requestOpen(this.engine, bodyOf('1', 1));
    const { data } = this.calls.dump(this.engine, request, 'prompt.json');
    this.close([request]);
    const prompt = JSON.parse(new TextDecoder().decode(data)) as { prompt_token_ids: number[] };
    return prompt.prompt_token_ids.length - 1;
  }

  private openTexts(tokens: number, maxTokens: number, batch: number): number[] {
    const around = this.templateTokens();
    if (tokens <= around) {
      const message = `a prompt of ${tokens} tokens is too short: the chat template alone has ${around}`;
      throw badRequest('invalid_value', message, 'prompt');
    }
    return Array.from({ length: batch }, () => {
      const text = digits(tokens - around, ++this.runs);
      return this.calls.requestOpen(this.engine, bodyOf(text, maxTokens));
    });
  }

  /** One step with its time added to `span`, and what came of it. */
  private step(span: Span): RequestEvent[] {
    const start = performance.now();
    this.calls.step(this.engine);
    const computed = performance.now();
    const events: RequestEvent[] = [];
    for (let next = this.calls.nextEvent(this.engine); next; ) {
      if (next.event.type === 'error') throw fromCore(next.event);
      events.push(next);
      next = this.calls.nextEvent(this.engine);
    }
    span.coreMs += computed - start;
    span.hostMs += performance.now() - computed;
    span.steps++;
    return events;
  }

  private untilFirst(requests: readonly number[]): Span {
    const waiting = new Set(requests);
    const span: Span = { coreMs: 0, hostMs: 0, steps: 0 };
    while (waiting.size > 0) {
      for (const { request, event } of this.step(span))
        if (tokensOf(event) > 0) waiting.delete(request);
    }
    return span;
  }

  private close(requests: readonly number[]): void {
    for (const request of requests) this.calls.requestClose(this.engine, request);
  }
}

function rate(span: Span, tokens: number): Rate {
  return { ...span, tokens, tokensPerSecond: (1000 * tokens) / span.coreMs };
}

function bodyOf(content: unknown, maxTokens: number): string {
  return JSON.stringify({
    messages: [{ role: 'user', content }],
    max_tokens: maxTokens,
    temperature: 0,
    ignore_eos: true,
    return_token_ids: true,
  });
}

/** `count` digits; each is one token of Qwen's tokenizers. */
function digits(count: number, seed: number): string {
  let state = (seed * 2654435761) >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return String((state >>> 16) % 10);
  }).join('');
}

function tokensOf(event: CoreEvent): number {
  return event.type === 'delta' ? (event.token_ids?.length ?? 0) : 0;
}

function imageTokens({ images }: CoreEvent & { type: 'prompt' }): number {
  return images.reduce((sum, { grid: [t, h, w] }) => sum + (t * h * w) / 4, 0);
}
