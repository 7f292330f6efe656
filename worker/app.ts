// Owns the server as a function of a Request: what surrounds every route (id, CORS, errors, log), and which dialects there
// are. Called by the adapters and by whoever has a platform of his own. Surprise: unknown paths and wrong methods are told
// apart after the fact, since a router only says that nothing matched.
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { TrieRouter } from 'hono/router/trie-router';
import type { AI, AIInfo } from '../js/ai.ts';
import { OcelliError } from '../js/errors.ts';
import { randomHex } from '../js/json_text.ts';
import type { App, Platform, RouteContext, Surroundings, WorkerContext } from './context.ts';
import { mounts } from './dialects/all.ts';
import { Refusal, vllmBody } from './errors.ts';
import { guardedFetch, type ImageRules } from './image_guard.ts';
import { namedAdapters } from './named_adapters.ts';
import { createKeyRing, type KeyEntry, type KeyRing } from './keys.ts';
import { defaultLimits, type WorkerLimits } from './limits.ts';
import { createMetrics } from './metrics.ts';
import { createDesk } from './runware/desk.ts';
import { createSessions, type Line, type Visit } from './runware/sessions.ts';
import { memoryStore } from './store/memory.ts';
import type { Store } from './store/store.ts';
import { packageVersion } from './version.ts';
import { type Log, silent } from './log.ts';
import { createQueue } from './queue.ts';

export interface WorkerOptions {
  ai: AI;
  /** Ids to list; the loaded model's name by default. The AI has to accept them (AIOptions.models). */
  models?: readonly string[];
  /** Whether callers may load and unload LoRA adapters, from any folder or URL; false by default. */
  runtimeAdapters?: boolean;
  /** Who may call; everybody by default. */
  keys?: readonly KeyEntry[] | KeyRing;
  limits?: Partial<WorkerLimits>;
  /** Gets one record per request; nothing is said by default. */
  log?: Log;
  /** Origins that browsers may call from; all by default. */
  origins?: readonly string[];
  /** Where tasks are kept until they are done, and their results; memory by default. It stays open, it is its owner's. */
  store?: Store;
  /** Where tasks may have the server call: webhooks, uploads, uploaded images; public hosts by default. */
  outboundRules?: ImageRules;
  /** Calls there, within the rules; by default fetch. */
  outbound?: typeof fetch;
  /** The price of a million tokens, of prompts and answers, as includeCost tells it; 0 by default. */
  usdPerMillionTokens?: number;
  /** Milliseconds since 1970; Date.now by default. */
  clock?: () => number;
}

export interface Worker {
  /** `platform`: in workerd the third of what a handler gets; without it a task that is answered later is not computed there. */
  fetch(request: Request, platform?: Platform): Promise<Response>;
  /** The Hono app, for adapters that add to it. */
  readonly app: App;
  readonly context: WorkerContext;
  /** A socket of Runware's dialect at /v1 or /; `origin` is the server's, as it is called from there. */
  connect(line: Line, origin: string): Visit;
  /** Loads the model now instead of at the first request; /health says 503 meanwhile. */
  open(): Promise<AIInfo>;
  /** Takes nothing new, waits for what runs, ends what still does after `graceMs`. Resolves when nothing runs. */
  drain(graceMs: number): Promise<void>;
  /** drain(0); the AI stays open, it is its owner's. */
  close(): Promise<void>;
}

export function createWorker(options: WorkerOptions): Worker {
  const { ai, models = [], keys = [], clock = Date.now, log = silent } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const ending = new AbortController();
  let loading = 0;
  const queue = createQueue(limits, clock);
  const {
    store = memoryStore({ clock }),
    outboundRules = {},
    outbound = guardedFetch((input, init) => globalThis.fetch(input, init), outboundRules),
    usdPerMillionTokens = 0,
  } = options;
  const context: WorkerContext = {
    ...{ ai, models, limits, queue, log, clock },
    ...{ store, outbound, outboundRules, usdPerMillionTokens },
    runtimeAdapters: options.runtimeAdapters ?? false,
    adapters: namedAdapters(ai),
    metrics: createMetrics(),
    version: packageVersion,
    origins: options.origins,
    loading: () => loading > 0,
    keys: 'callerOf' in keys ? keys : createKeyRing(keys, clock, store),
    created: Math.floor(clock() / 1000),
    ending: ending.signal,
    get desk() {
      return desk;
    },
  };
  const desk = createDesk(context);
  const sessions = createSessions(context);
  /** Resolves when nothing runs, and what was computed is kept and delivered. */
  const idle = async (): Promise<void> => {
    await queue.idle();
    await desk.settled();
    await context.keys.settled?.();
    sessions.close();
  };
  const app = appOf(context, options.origins);
  return {
    app,
    context,
    fetch: async (request, platform = {}) => await app.fetch(request, platform),
    connect: sessions.connect,
    async open() {
      loading++;
      try {
        return await ai.info();
      } finally {
        loading--;
      }
    },
    async drain(graceMs) {
      queue.stop();
      const timer = setTimeout(() => ending.abort(), graceMs);
      await idle();
      clearTimeout(timer);
    },
    async close() {
      queue.stop();
      ending.abort();
      await idle();
    },
  };
}

/** What pages may read of a reply's headers: each dialect's. */
const exposeHeaders = [
  ...['x-request-id', 'x-error-code', 'retry-after', 'allow'],
  ...['limit', 'remaining', 'reset'].map((name) => `x-ratelimit-${name}-requests`),
  ...['limit', 'remaining', 'reset', 'reset-after', 'policy'].map((name) => `x-rate-limit-${name}`),
  ...['x-remaining-credits', 'x-credits-charged'],
];

function appOf(context: WorkerContext, origins: readonly string[] | undefined): App {
  // A slash at the end of a path means nothing.
  const app: App = new Hono<Surroundings>({ strict: false });
  app.use(surround(context));
  app.use(
    cors({
      origin: origins ? [...origins] : '*',
      exposeHeaders,
      maxAge: 86_400,
    }),
  );
  app.onError((error, c) => spelled(c as RouteContext, error));
  for (const mount of mounts) mount(app, context);
  const methods = new TrieRouter<string>();
  for (const { method, path } of app.routes) if (method !== 'ALL') methods.add('ALL', path, method);
  app.notFound((c) => {
    const allowed = new Set(methods.match('ALL', c.req.path)[0].map(([method]) => method));
    return spelled(
      c as RouteContext,
      allowed.size > 0 ? wrongMethod(c.req.method, allowed) : nowhere(c.req.path),
    );
  });
  return app;
}

const nowhere = (path: string): Refusal =>
  new Refusal(404, 'unknown_path', `there is nothing at ${path}`, { detail: 'Not Found' });

function wrongMethod(method: string, allowed: Set<string>): Refusal {
  const allow = [...allowed].join(', ');
  return new Refusal(405, 'method_not_allowed', `${method} is not allowed here: ${allow}`, {
    detail: 'Method Not Allowed',
    headers: { allow },
  });
}

/** The response to an error, as the dialect of the request spells it. */
function spelled(c: RouteContext, error: unknown): Response {
  const known =
    error instanceof OcelliError
      ? error
      : // What it was is for the log alone: it may hold anything.
        new OcelliError(500, 'internal_error', 'an internal error', null, error);
  c.get('facts').error = known.code;
  const headers = known instanceof Refusal ? known.headers : {};
  return new Response(JSON.stringify(c.get('spell')(known)), {
    status: known.status,
    // The body's code is the status, as vLLM has it.
    headers: { 'content-type': 'application/json', 'x-error-code': known.code, ...headers },
  });
}

/** Gives each request its id and the start of its record, and writes that when the response is there. */
function surround({ clock, log }: WorkerContext) {
  return async (c: RouteContext, next: () => Promise<void>): Promise<void> => {
    const start = clock();
    const given = c.req.header('x-request-id') ?? '';
    const id = /^[\x21-\x7e]{1,128}$/.test(given) ? given : randomHex(32);
    c.set('requestId', id);
    c.set('spell', vllmBody);
    c.set('facts', {});
    await next();
    c.res.headers.set('x-request-id', id);
    const write = (): void =>
      log({
        time: new Date(start).toISOString(),
        request_id: id,
        method: c.req.method,
        path: c.req.path,
        status: c.res.status,
        ms: clock() - start,
        caller: c.get('caller')?.name,
        ...c.get('facts'),
      });
    const ended = c.get('ended');
    if (ended) void ended.then(write);
    else write();
  };
}
