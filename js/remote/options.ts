// Owns what a caller says about an endpoint elsewhere, and about which engine answers. Called by choose.ts and remote_ai.ts.
// Surprise: the endpoint may be given by its origin, its base or its whole address; the rest is made of that one.
import { badRequest } from '../errors.ts';
import {
  boolean,
  callable,
  checkForms,
  type Forms,
  headers,
  httpUrl,
  integer,
  text,
} from '../forms.ts';
import type { HeaderMap } from '../weights/download_options.ts';

export interface RemoteOptions {
  /**
   * An ocelli worker or any OpenAI-compatible endpoint: its origin ("https://host": /v1/chat/completions there), its base
   * ("https://host/v1": /chat/completions below it), or the address of its chat completions itself.
   */
  url: string | URL;
  /** Sent as "Authorization: Bearer ...". */
  apiKey?: string;
  /** Sent with every request; a function is asked before each one, with its URL. */
  headers?: HeaderMap | ((url: string) => HeaderMap | Promise<HeaderMap>);
  /** The id that the endpoint knows the model by: asked for instead of no id and of those in `modelAliases`. */
  model?: string;
  /** globalThis.fetch, or the one of the AI's options, by default. */
  fetch?: typeof fetch;
  /** Further attempts after a failure, before anything of an answer was delivered; 2 by default. */
  retries?: number;
  /** Milliseconds: the first retry waits up to this long, each later one up to twice as long; 500 by default. */
  retryMs?: number;
  /** Milliseconds until an answer begins, for one that is not streamed until it is there; 600,000 by default. */
  timeoutMs?: number;
  /** Milliseconds of silence after which an answer that has begun counts as broken; 300,000 by default. */
  stallMs?: number;
  /** Fetches http(s) images here and sends their bytes; by default the endpoint gets the URL. */
  inlineImages?: boolean;
  /** Whether streams ask for usage, so that json() knows it; false for endpoints that refuse stream_options. */
  streamUsage?: boolean;
}

/** What this host has for an engine, where 'auto' cannot know it or should not ask. */
export interface HostLimits {
  memoryBytes?: number;
  /** Of one invocation. */
  cpuMs?: number;
}

/** What 'auto' decided, and why. */
export interface Decision {
  engine: 'local' | 'remote';
  reason: string;
  /** What kind of host this was taken for. */
  platform: string;
  /** The memory plan's total; null when there is no plan. */
  neededBytes: number | null;
  /** What the host has for it; null when nobody says. */
  availableBytes: number | null;
}

/** The part of AIOptions that says who computes. */
export interface EngineChoice {
  /**
   * 'local': here. 'remote': at the endpoint. 'auto': here where the model fits into this host, else at the endpoint; the
   * default when `remote` is given, otherwise 'local' is.
   */
  engine?: 'local' | 'remote' | 'auto';
  remote?: RemoteOptions;
  limits?: HostLimits;
  /** Told what 'auto' decides, at the first use, and again should memory run out here. */
  onDecision?: (decision: Decision) => void;
}

export interface ReadyRemote {
  chat: URL;
  models: URL;
  tokenize: URL;
  detokenize: URL;
  metrics: URL;
  headers: NonNullable<RemoteOptions['headers']>;
  apiKey: string | null;
  model: string | null;
  fetch: typeof fetch;
  retries: number;
  retryMs: number;
  timeoutMs: number;
  stallMs: number;
  inlineImages: boolean;
  streamUsage: boolean;
}

const forms: Forms<RemoteOptions> = {
  url: httpUrl,
  apiKey: text,
  headers,
  model: text,
  fetch: callable,
  retries: integer(0, 100),
  retryMs: integer(0, 60_000),
  timeoutMs: integer(1, 86_400_000),
  stallMs: integer(1, 86_400_000),
  inlineImages: boolean,
  streamUsage: boolean,
};

/** The options with defaults; throws a BadRequestError that names the first one that cannot be. */
export function readyRemote(options: RemoteOptions, fetcher?: typeof fetch): ReadyRemote {
  checkForms(options, forms, 'remote.');
  const { url, apiKey, model } = options;
  const chat = chatAddress(url);
  const below = (folder: string, path: string): URL => {
    const made = new URL(chat);
    made.pathname = `${folder}/${path}`;
    return made;
  };
  const base = chat.pathname.replace(/\/chat\/completions$/, '');
  // What vLLM adds to the API lies beside its version.
  const root = base.replace(/\/v\d+$/, '');
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey))
    throw wrong('remote.apiKey must be visible ASCII characters without spaces', 'remote.apiKey');
  return {
    chat,
    models: below(base, 'models'),
    tokenize: below(root, 'tokenize'),
    detokenize: below(root, 'detokenize'),
    metrics: below(root, 'metrics'),
    headers: options.headers ?? {},
    apiKey: apiKey ?? null,
    model: model ?? null,
    fetch: options.fetch ?? fetcher ?? globalThis.fetch,
    retries: options.retries ?? 2,
    retryMs: options.retryMs ?? 500,
    timeoutMs: options.timeoutMs ?? 600_000,
    stallMs: options.stallMs ?? 300_000,
    inlineImages: options.inlineImages ?? false,
    streamUsage: options.streamUsage ?? true,
  };
}

function chatAddress(given: string | URL): URL {
  let url: URL;
  try {
    url = new URL(given);
  } catch (error) {
    throw wrong(`remote.url is no URL: ${(error as Error).message}`, 'remote.url', error);
  }
  // fetch() refuses URLs with credentials, with a message that shows them.
  if (url.username || url.password)
    throw wrong('remote.url must not hold a user or password: use headers', 'remote.url');
  url.hash = '';
  const path = url.pathname.replace(/\/+$/, '');
  if (!path.endsWith('/chat/completions'))
    url.pathname = `${path === '' ? '/v1' : path}/chat/completions`;
  else url.pathname = path;
  return url;
}

const wrong = (message: string, param: string, cause?: unknown): Error =>
  badRequest('invalid_value', message, param, cause);
