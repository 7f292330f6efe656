// Owns what every route sees: the AI, who may call, how much, what is counted and said. Made by app.ts, read by the
// dialects. Surprise: an error's body is spelled by whichever dialect took the request (`spell`), since the hosted services
// disagree on it while its status and headers are the same for all.
import type { Hono } from 'hono';
import type { Context } from 'hono';
import type { AI } from '../js/ai.ts';
import type { OcelliError } from '../js/errors.ts';
import type { ImageRules } from './image_guard.ts';
import type { Caller, KeyRing } from './keys.ts';
import type { WorkerLimits } from './limits.ts';
import type { Log } from './log.ts';
import type { NamedAdapters } from './named_adapters.ts';
import type { Metrics } from './metrics.ts';
import type { Queue } from './queue.ts';
import type { Desk } from './runware/desk.ts';
import type { Store } from './store/store.ts';

export interface WorkerContext {
  readonly ai: AI;
  /** The ids under which the model is offered; any alias of js/models.ts works besides. */
  readonly models: readonly string[];
  /** Whether callers may load and unload LoRA adapters. */
  readonly runtimeAdapters: boolean;
  readonly adapters: NamedAdapters;
  readonly keys: KeyRing;
  readonly limits: WorkerLimits;
  readonly queue: Queue;
  readonly log: Log;
  /** Origins that browsers may call from; undefined for all. */
  readonly origins: readonly string[] | undefined;
  readonly metrics: Metrics;
  /** Milliseconds since 1970; tests bring their own. */
  readonly clock: () => number;
  /** Seconds since 1970 at which the model was put up. */
  readonly created: number;
  readonly version: string;
  /** Whether the model is being loaded and not all there. */
  readonly loading: () => boolean;
  /** Where tasks and uploaded images are kept. */
  readonly store: Store;
  readonly desk: Desk;
  /** Fetches what tasks name, and calls their webhooks. */
  readonly outbound: typeof fetch;
  readonly outboundRules: ImageRules;
  /** What a task is said to cost. */
  readonly usdPerMillionTokens: number;
  /** Aborted when a drain's grace time is over: whatever still runs is to end. */
  readonly ending: AbortSignal;
}

/** What is told about a request when it is over. Never what was asked or answered. */
export interface Facts {
  model?: string;
  stream?: boolean;
  prompt_tokens?: number;
  completion_tokens?: number;
  finish_reason?: string;
  /** The code of an error. */
  error?: string;
}

export type Spelling = (error: OcelliError) => unknown;

export interface Variables {
  requestId: string;
  spell: Spelling;
  caller: Caller;
  facts: Facts;
  /** Resolves when the engine has ended the request; set where the response may go on until then. */
  ended?: Promise<void>;
}

/** What a platform gives beside a request, as workerd does: what is begun there ends with its request, unless it is told of. */
export interface Platform {
  /** Keeps what belongs to the request until the work is over. */
  waitUntil?(work: Promise<unknown>): void;
}

export interface Surroundings {
  Variables: Variables;
  Bindings: Platform;
}
export type App = Hono<Surroundings>;
export type RouteContext = Context<Surroundings>;

/** What each file of dialects/ exports: puts its routes on the app. */
export type Mount = (app: App, context: WorkerContext) => void;
