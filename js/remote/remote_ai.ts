// Owns AI.run at an endpoint: the same calls, objects and errors as the engine here has, over HTTP. Called by choose.ts.
// Surprise: nothing of a request is checked here but what cannot travel; the endpoint says what is wrong with the rest, and
// so do its own limits.
import { type AI, type AIOptions, mediaOptions, type RunBody, type RunExtras } from '../ai.ts';
import { badRequest, OcelliError } from '../errors.ts';
import { closeWith } from '../life.ts';
import { modelAliases } from '../models.ts';
import { type Fields, isFields, parseBody, replaceImages, streamingOf } from '../request.ts';
import { type ChunkSource, responseOver } from '../stream.ts';
import { shownUrl } from '../weights/failures.ts';
import { beginAnswer, jsonAnswer } from './answer.ts';
import { bodyText, connect, untilAnswered } from './connection.ts';
import { invalidAnswer, missingRoute } from './failures.ts';
import { imagePart } from './images.ts';
import { readyRemote, type RemoteOptions } from './options.ts';
import type { Wish } from './shapes.ts';

/** An AI at the endpoint of `options.remote`. Throws a BadRequestError for options out of range. */
export function remoteAI(options: AIOptions & { remote: RemoteOptions }): AI {
  const remote = readyRemote(options.remote, options.fetch);
  const running = new Set<AbortController>();

  /** A signal of one call's own, which follows the caller's and close(), and how to let go of it. */
  const begin = (outer?: AbortSignal): { signal: AbortSignal; end: () => void } => {
    const own = new AbortController();
    const abort = (): void => own.abort(outer?.reason);
    const end = (): void => {
      running.delete(own);
      outer?.removeEventListener('abort', abort);
    };
    running.add(own);
    outer?.addEventListener('abort', abort, { once: true });
    if (outer?.aborted) abort();
    return { signal: own.signal, end };
  };

  /** The id to ask for; null: none, the endpoint's default. */
  const idFor = (model: string | null): string | null =>
    model === null || modelAliases.includes(model) ? (remote.model ?? model) : model;

  async function run(
    model: string | null | undefined,
    body: RunBody | string,
    extras: RunExtras = {},
  ) {
    const outer = extras.signal ?? (typeof body === 'object' ? body?.signal : undefined);
    outer?.throwIfAborted();
    if (extras.dump) throw unsupported('dump', 'an endpoint shows no dump of a request');
    const { fields, stringify } = parseBody(body);
    const { signal, end } = begin(outer);
    try {
      const media = mediaOptions(options, signal);
      await replaceImages(fields, (image, path) =>
        imagePart(image, path, media, remote.inlineImages),
      );
      delete fields['signal'];
      const { stream, includeUsage } = streamingOf(fields);
      const named = model === undefined || model === null || model === '' ? null : String(model);
      const asked = idFor(named);
      const wish: Wish = { model: named, asked, includeUsage };
      const text = stringify(wireBody(fields, asked, stream, remote.streamUsage));
      const { requestId } = extras;
      const headers = { ...(requestId !== undefined && { 'x-request-id': requestId }) };
      const answer = await untilAnswered(remote, signal, async (): Promise<ChunkSource> => {
        const asking = { url: remote.chat, body: text, stream, headers };
        const incoming = await connect(remote, asking, signal);
        return await beginAnswer(incoming, wish, end);
      });
      if (stream) return responseOver(answer);
      return await answer.whole().finally(() => answer.cancel());
    } catch (error) {
      end();
      throw error;
    }
  }

  /** The JSON at a route that not every endpoint has; null: it has none. Rejects with an OcelliError. */
  async function ask(url: URL, body: Fields | null): Promise<unknown> {
    const { signal, end } = begin();
    try {
      const text = body && JSON.stringify(body);
      return await untilAnswered(remote, signal, async () =>
        jsonAnswer(await connect(remote, { url, body: text }, signal)),
      );
    } finally {
      end();
    }
  }

  /** The same for a call that needs the route. */
  async function need(call: string, url: URL, body: Fields): Promise<Fields> {
    const answer = await ask(url, body).catch((error: unknown) => {
      throw lacks(error) ? missingRoute(call, `POST ${shownUrl(url)}`, error.status) : error;
    });
    if (isFields(answer)) return answer;
    throw invalidAnswer(shownUrl(url), 'expected a JSON object');
  }

  const model = remote.model === null ? {} : { model: remote.model };
  return {
    run: run as AI['run'],
    async info() {
      const list = await ask(remote.models, null).catch((error: unknown) => {
        if (lacks(error)) return null;
        throw error;
      });
      const cards = isFields(list) && Array.isArray(list['data']) ? list['data'] : [];
      const known = cards.filter(isFields);
      const card = known.find(({ id }) => id === remote.model) ?? (remote.model ? null : known[0]);
      const context = card?.['max_model_len'];
      return {
        engine: 'remote',
        url: shownUrl(remote.chat),
        model: remote.model ?? (typeof card?.['id'] === 'string' ? card['id'] : null),
        context: typeof context === 'number' ? context : null,
        variant: null,
        threads: null,
        revectorised: null,
        compute: null,
        precision: null,
        plan: null,
      };
    },
    async tokenize(text, { addedTokens = true } = {}) {
      if (!addedTokens)
        throw unsupported('addedTokens', 'endpoints take added tokens in a text for one token');
      const body = { ...model, prompt: text, add_special_tokens: false };
      const { tokens } = await need('tokenize()', remote.tokenize, body);
      if (Array.isArray(tokens) && tokens.every((id) => Number.isInteger(id)))
        return tokens as number[];
      throw invalidAnswer(shownUrl(remote.tokenize), 'expected {"tokens": [ids]}');
    },
    async detokenize(ids, { skipSpecial = false } = {}) {
      if (skipSpecial)
        throw unsupported('skipSpecial', 'endpoints give special tokens in a text back');
      const { prompt } = await need('detokenize()', remote.detokenize, { ...model, tokens: ids });
      if (typeof prompt === 'string') return prompt;
      throw invalidAnswer(shownUrl(remote.detokenize), 'expected {"prompt": text}');
    },
    async stats() {
      const { signal, end } = begin();
      const { metrics } = remote;
      try {
        const text = await untilAnswered(remote, signal, async () => {
          const incoming = await connect(remote, { url: metrics, body: null }, signal);
          return await bodyText(incoming.next, 16 << 20).finally(incoming.close);
        });
        return samplesOf(text);
      } catch (error) {
        throw lacks(error)
          ? missingRoute('stats()', `GET ${shownUrl(metrics)}`, error.status)
          : error;
      } finally {
        end();
      }
    },
    adapters: {
      load: () => Promise.reject(atTheEndpoint()),
      unload: () => Promise.reject(atTheEndpoint()),
      list: () => Promise.reject(atTheEndpoint()),
    },
    ...closeWith(async () => {
      const reason = new OcelliError(500, 'engine_closed', 'the engine was closed');
      for (const one of running) one.abort(reason);
      running.clear();
    }),
  };
}

const unsupported = (what: string, why: string): OcelliError =>
  badRequest('unsupported_feature', `${what} is not available with a remote engine: ${why}`, what);

const atTheEndpoint = (): OcelliError =>
  unsupported(
    'adapters',
    'load them there (POST /v1/load_lora_adapter); any name can be asked for',
  );

/** Whether an endpoint says that it has no such route. An unknown model is a 404 of another kind. */
function lacks(error: unknown): error is OcelliError {
  return (
    error instanceof OcelliError &&
    [404, 405, 501].includes(error.status) &&
    error.code !== 'model_not_found'
  );
}

/** The body as it is sent. */
function wireBody(fields: Fields, model: string | null, stream: boolean, usage: boolean): Fields {
  const { model: own, stream_options, ...rest } = fields;
  const id = model ?? own;
  const options = isFields(stream_options) ? stream_options : {};
  return {
    ...((id ?? null) !== null && { model: id }),
    ...rest,
    ...(stream && (usage || isFields(stream_options))
      ? { stream_options: { ...options, ...(usage && { include_usage: true }) } }
      : {}),
  };
}

/** Prometheus' text as numbers by name and labels. */
function samplesOf(text: string): Record<string, number> {
  const samples: Record<string, number> = {};
  for (const line of text.split('\n')) {
    const [, name, value] = /^([a-zA-Z_:][\w:]*(?:\{.*\})?)\s+(\S+)/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) samples[name] = Number(value);
  }
  return samples;
}
