// Owns what `stream: true` resolves to: a real Response of SSE bytes that can instead be iterated over as chunks, or
// asked for the assembled completion. Called by ai.ts and remote/. Surprise: the three ways share one source, so only one
// of them can be used, as with any Response body; leaving any of them early cancels the request.
import { errorObject, OcelliError } from './errors.ts';
import { ChunkMaker, CompletionBuilder, type Head } from './response.ts';
import type { PreparedRequest } from './request.ts';
import type { EngineEvent } from './thread/protocol.ts';
import type { ChatCompletion, ChatCompletionChunk, ChatStream } from './types.ts';

const encoder = new TextEncoder();
const doneLine = 'data: [DONE]\n\n';

/** One SSE event: LF only, one space after the colon. */
function sseLine(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

/** The events of one request that an answer is made of, as they come, for one reader. */
export class EventQueue {
  readonly #events: EngineEvent[] = [];
  #wake: (() => void) | undefined;
  #failed = false;
  #reason: unknown;

  readonly push = (event: EngineEvent): void => {
    if (event.type === 'progress' || event.type === 'dump') return;
    this.#events.push(event);
    this.#wake?.();
  };

  /** Makes next() reject from now on; events not read yet are dropped. */
  fail(reason: unknown): void {
    this.#failed = true;
    this.#reason = reason;
    this.#wake?.();
  }

  /** The next event, which stays in the queue. */
  async peek(): Promise<EngineEvent> {
    for (;;) {
      if (this.#failed) throw this.#reason;
      const [event] = this.#events;
      if (event) return event;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async next(): Promise<EngineEvent> {
    const event = await this.peek();
    this.#events.shift();
    return event;
  }
}

/** Where a streamed answer comes from. */
export interface ChunkSource<Chunk = ChatCompletionChunk> {
  /** The next chunks, none where an event shows nothing; null at the end. An OcelliError is the request's failure. */
  next(): Promise<Chunk[] | null>;
  /** The assembled completion; instead of next(). */
  whole(): Promise<ChatCompletion>;
  /** Stops the request. */
  cancel(): void;
}

/** A response over `queue`; `cancel` stops the request. */
export function streamResponse(
  head: Head,
  request: PreparedRequest,
  queue: EventQueue,
  cancel: () => void,
): ChatStream {
  const maker = new ChunkMaker(head, request);
  let done = false;
  return responseOver({
    async next() {
      if (done) return null;
      const event = await queue.next();
      done = event.type === 'done';
      return maker.add(event);
    },
    async whole() {
      const builder = new CompletionBuilder(head, request);
      for (;;) {
        const whole = builder.add(await queue.next());
        if (whole) return whole;
      }
    },
    cancel,
  });
}

/** A response over `source`. */
export function responseOver<Chunk = ChatCompletionChunk>(source: ChunkSource<Chunk>): ChatStream {
  let over = false;
  const leave = (): void => {
    if (!over) source.cancel();
    over = true;
  };
  /** What `work` gives; after a failure, and after the end, there is nothing to cancel. */
  const reading = async <T>(work: Promise<T>): Promise<T> => {
    try {
      const value = await work;
      over ||= value === null;
      return value;
    } catch (error) {
      over = true;
      throw error;
    }
  };

  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let text = '';
        // pull() is only called again once something was enqueued, so events without chunks are passed over here.
        while (text === '') {
          try {
            const chunks = await reading(source.next());
            for (const chunk of chunks ?? []) text += sseLine(chunk);
          } catch (error) {
            if (!(error instanceof OcelliError)) throw error;
            text = sseLine({ error: errorObject(error) });
          }
          if (over) text += doneLine;
        }
        controller.enqueue(encoder.encode(text));
        if (over) controller.close();
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
  const response = new Response(body, {
    headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' },
  });

  /** Takes the body for itself, so that nothing else can read it, and gives the way back. */
  const claim = (): (() => void) => {
    const reader = body.getReader();
    return () => void reader.cancel().catch(() => undefined);
  };

  async function* chunks(): AsyncGenerator<Chunk, void, undefined> {
    const release = claim();
    try {
      for (let next = await reading(source.next()); next; next = await reading(source.next()))
        yield* next;
    } finally {
      leave();
      release();
    }
  }

  async function assembled(): Promise<ChatCompletion> {
    const release = claim();
    try {
      const whole = await reading(source.whole());
      over = true;
      return whole;
    } finally {
      leave();
      release();
    }
  }

  return Object.defineProperties(response, {
    [Symbol.asyncIterator]: { value: chunks },
    json: { value: assembled },
  }) as ChatStream;
}
