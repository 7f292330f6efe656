// Owns reading one answer: whatever an endpoint sends (events, JSON, a web page) becomes chunks, a completion or an error.
// Called by remote_ai.ts. Surprise: what came is told by its first characters, since content types cannot be relied on; and
// an answer counts as begun with its first chunk, so that everything before it can be tried again.
import { OcelliError } from '../errors.ts';
import { isFields } from '../request.ts';
import type { ChunkSource } from '../stream.ts';
import type { ChatCompletion, ChatCompletionChunk } from '../types.ts';
import { Failure } from '../weights/download_retry.ts';
import { bodyText, type Incoming } from './connection.ts';
import {
  connectionLost,
  errorOf,
  invalidAnswer,
  isFailure,
  isPage,
  pageInstead,
} from './failures.ts';
import { ChunkGatherer, ChunkReader, chunksOf, completionOf, type Wish } from './shapes.ts';
import { SseParser } from './sse.ts';

/** No answer that is not streamed has more bytes. */
const answerBytesMax = 256 << 20;

/** The statuses of errors within an answer after which another attempt may help. */
const passing = (status: number): boolean => status === 429 || (status >= 500 && status !== 501);

/** A failure before anything was delivered. */
const early = (error: OcelliError): Failure =>
  new Failure(error, { permanent: !passing(error.status) });

/** The value of JSON that may have been cut. */
function parsed(where: string, text: string): unknown {
  if (isPage(text)) throw new Failure(pageInstead(where, text), { permanent: true });
  try {
    return JSON.parse(text);
  } catch (error) {
    const what = `the answer of ${text.length} characters is not JSON: ${(error as Error).message}`;
    throw new Failure(invalidAnswer(where, what, error));
  }
}

/** The JSON of a whole answer. Rejects with a Failure, or the signal's reason. */
export async function jsonAnswer(incoming: Incoming): Promise<unknown> {
  try {
    return parsed(incoming.where, await bodyText(incoming.next, answerBytesMax));
  } finally {
    incoming.close();
  }
}

/** A completion in JSON. Throws a Failure when it is none. */
function completionIn(where: string, value: unknown, wish: Wish): ChatCompletion {
  if (isFailure(value)) throw early(errorOf(where, null, value));
  const completion = completionOf(value, wish);
  if (completion) return completion;
  const found = JSON.stringify(value)?.slice(0, 80);
  throw new Failure(invalidAnswer(where, `expected a chat completion, got ${found}`), {
    permanent: true,
  });
}

/** An answer that has begun: its first chunk is there. Rejects with a Failure, or the signal's reason, before. */
export async function beginAnswer(
  incoming: Incoming,
  wish: Wish,
  end: () => void,
): Promise<ChunkSource> {
  const answer = new Answer(incoming, wish, end);
  try {
    await answer.begin();
  } catch (error) {
    incoming.close();
    throw error;
  }
  return answer;
}

class Answer implements ChunkSource {
  readonly #incoming: Incoming;
  readonly #wish: Wish;
  readonly #end: () => void;
  readonly #decoder = new TextDecoder();
  readonly #sse = new SseParser();
  readonly #reader: ChunkReader;
  #ready: ChatCompletionChunk[] = [];
  /** What failed after chunks that are still to be read. */
  #failure: Failure | null = null;
  #over = false;
  /** Set when it came as one. */
  #whole: ChatCompletion | null = null;

  constructor(incoming: Incoming, wish: Wish, end: () => void) {
    this.#incoming = incoming;
    this.#wish = wish;
    this.#end = end;
    this.#reader = new ChunkReader(wish);
  }

  async begin(): Promise<void> {
    let text = '';
    while (text.trim() === '') {
      const piece = await this.#incoming.next();
      if (!piece) throw this.#lost('the answer is empty');
      text += this.#decoder.decode(piece, { stream: true });
    }
    const first = text.trimStart()[0];
    if (first === '{' || first === '[' || first === '<') {
      const { next, where } = this.#incoming;
      // The characters that began in the last piece go on in the next.
      const decode = async (): Promise<string> => {
        let rest = '';
        for (let piece = await next(); piece; piece = await next())
          if (text.length + rest.length <= answerBytesMax)
            rest += this.#decoder.decode(piece, { stream: true });
        return rest + this.#decoder.decode();
      };
      const value = parsed(where, text + (await decode()));
      this.#whole = completionIn(where, value, this.#wish);
      this.#ready = chunksOf(this.#whole, this.#wish.includeUsage);
      this.#finish();
      return;
    }
    this.#take(this.#events(text));
    while (this.#ready.length === 0 && !this.#failure) {
      if (this.#over) throw this.#lost('the stream ended before its first chunk');
      await this.#more();
    }
    if (this.#ready.length === 0 && this.#failure) throw this.#failure;
  }

  async next(): Promise<ChatCompletionChunk[] | null> {
    try {
      while (this.#ready.length === 0) {
        if (this.#failure) throw this.#failure.error;
        if (this.#over) return null;
        await this.#more();
      }
      return this.#ready.splice(0);
    } catch (error) {
      this.#finish();
      throw error instanceof Failure ? error.error : error;
    }
  }

  async whole(): Promise<ChatCompletion> {
    if (this.#whole) return this.#whole;
    const gatherer = new ChunkGatherer();
    for (let chunks = await this.next(); chunks; chunks = await this.next())
      for (const chunk of chunks) gatherer.add(chunk);
    return gatherer.whole(this.#reader.usage);
  }

  cancel(): void {
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#incoming.close();
    this.#end();
  }

  #lost(what: string): Failure {
    return new Failure(connectionLost(this.#incoming.where, new Error(what)));
  }

  /** Reads one more piece. */
  async #more(): Promise<void> {
    const piece = await this.#incoming.next();
    if (piece) return this.#take(this.#events(this.#decoder.decode(piece, { stream: true })));
    this.#take(this.#events(this.#decoder.decode()));
    if (!this.#over) this.#take(this.#sse.end());
    if (this.#over || this.#failure) return;
    // Some servers leave [DONE] out; what has all its ends is whole.
    if (!this.#reader.complete) throw this.#lost('the stream was cut before its end');
    this.#finish();
  }

  #events(text: string): string[] {
    try {
      return this.#sse.push(text);
    } catch (error) {
      throw new Failure(invalidAnswer(this.#incoming.where, (error as Error).message, error));
    }
  }

  #take(events: string[]): void {
    const { where } = this.#incoming;
    for (const data of events) {
      if (this.#over || this.#failure) return;
      if (data.trim() === '[DONE]') return this.#finish();
      let value: unknown;
      try {
        value = JSON.parse(data);
      } catch (error) {
        const what = `an event is not JSON: ${JSON.stringify(data.slice(0, 80))}`;
        this.#failure = new Failure(invalidAnswer(where, what, error));
        return;
      }
      if (isFailure(value)) this.#failure = early(errorOf(where, null, value));
      else if (isFields(value)) {
        const chunk = this.#reader.read(value);
        if (chunk) this.#ready.push(chunk);
      }
    }
  }
}
