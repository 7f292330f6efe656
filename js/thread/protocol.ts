// Owns what an engine offers and the messages that carry it across a thread. Implemented by engine.ts (in process) and
// client.ts (in a worker). Surprise: a request's body comes in pieces, cut where the handles of its images belong, so
// that numbers in it keep the spelling of the caller's text.
import type { Compute, CoreEvent, OpenOptions } from '../abi/calls.ts';
import type { VariantName } from '../abi/variants.ts';
import type { OcelliError, PlainError } from '../errors.ts';
import type { AdapterFiles } from '../weights/adapter_files.ts';
import type { PlainSourceOptions } from '../weights/download_options.ts';
import type { LoadProgress } from '../weights/progress.ts';
import type { ShardInfo } from '../weights/source.ts';

export interface CoreRequest {
  /** images.length + 1 pieces of the request's JSON; between them go the media handles. */
  body: string[];
  images: Uint8Array[];
  /** Where each of them stands in the body, for errors: "messages[0].content[1]". */
  imagePaths: string[];
  /** Whether an event "dump" is wanted before "done". */
  dump: boolean;
}

/** One thing for --dump: JSON text ("prompt.json") or f32 rows ("vision_0"). */
export interface DumpFile {
  name: string;
  data: Uint8Array;
  rows: number;
  columns: number;
}

export type EngineEvent = CoreEvent | { type: 'dump'; files: DumpFile[] };
/** Gets a request's events; "done" or "error" is the last. */
export type EventSink = (event: EngineEvent) => void;

export interface EngineInfo {
  /** The manifest's name. */
  model: string;
  variant: VariantName | 'custom';
  threads: number;
  /** Whether V8's 256-bit operations are in use (Node on x64; see AIOptions.revectorise). */
  revectorised: boolean;
  compute: Compute;
  /** Tokens of prompt and answer together. */
  context: number;
  precision: { linear: string; vision: string; embedding: string };
  /** What ocelli_plan() said. */
  plan: unknown;
}

export interface Engine {
  readonly info: EngineInfo;
  /** Why nothing works any more: a crash, weights that cannot be had, or close(). */
  readonly death: OcelliError | null;
  /** Resolves when all weights are there; requests do not wait for that. Rejects when they cannot be had. */
  loaded(): Promise<void>;
  /** Opens a request and resolves to a function that cancels it; rejects when the core refuses it. */
  start(request: CoreRequest, sink: EventSink): Promise<() => void>;
  tokenize(text: string, addedTokens: boolean): Promise<number[]>;
  detokenize(ids: readonly number[], skipSpecial: boolean): Promise<string>;
  stats(): Promise<unknown>;
  loadAdapter(name: string, files: AdapterFiles): Promise<void>;
  dropAdapter(name: string): Promise<void>;
  close(): Promise<void>;
}

/** A WebAssembly.Module; without that name, which TypeScript knows from the DOM's types only. */
export type CompiledModule = object;

/** How an engine is opened; crosses a thread as it is. */
export interface EngineOptions {
  variant?: VariantName;
  wasm?: CompiledModule;
  threads: number;
  revectorise?: boolean;
  open: Omit<OpenOptions, 'threads'>;
  /** Only the tokenizer's shards are placed: tokenize() works, start() does not. */
  tokenizerOnly?: boolean;
}

/** What sourceFrom() makes a source of, in any thread. */
export interface SourceByName {
  model: string;
  options?: PlainSourceOptions;
}
/** Where the bytes come from, as a thread can be told; 'host': ask the other side. */
export type SourceName = SourceByName | 'host';

export type ToThread =
  | { type: 'open'; options: EngineOptions; source: SourceName }
  | { type: 'start'; id: number; request: CoreRequest }
  | { type: 'cancel'; id: number }
  | { type: 'call'; id: number; call: ThreadCall }
  | { type: 'piece'; id: number; bytes: Uint8Array }
  /** `parallel`: after the manifest, how many shards may be asked for at a time. */
  | { type: 'end'; id: number; error: PlainError | null; parallel?: number | undefined }
  | { type: 'settled'; id: number; again: boolean }
  /** The thread is about to be ended: what it holds is to be closed, then comes "released". */
  | { type: 'release' };

export type ThreadCall =
  | { name: 'tokenize'; text: string; addedTokens: boolean }
  | { name: 'detokenize'; ids: readonly number[]; skipSpecial: boolean }
  | { name: 'stats' }
  | { name: 'load adapter'; adapter: string; files: AdapterFiles }
  | { name: 'drop adapter'; adapter: string }
  | { name: 'loaded' }
  | { name: 'close' };

export type FromThread =
  | { type: 'opened'; info: EngineInfo }
  /** It cannot be opened, or its weights cannot be had. */
  | { type: 'failed'; error: PlainError }
  | { type: 'progress'; bytes: number; total: number; more: LoadProgress }
  | { type: 'reply'; id: number; value: unknown }
  | { type: 'refused'; id: number; error: PlainError; death: PlainError | null }
  | { type: 'events'; events: { id: number; event: EngineEvent }[]; death: PlainError | null }
  /**
   * Asks for a shard, or for the manifest when info is null: with `doubt` another one, of no bytes where there is none. Pieces
   * and an end come back under this id.
   */
  | { type: 'need'; id: number; index: number; info: ShardInfo | null; doubt?: PlainError }
  | { type: 'released' }
  /** What a shard was worth; "settled" answers. */
  | { type: 'settle'; id: number; index: number; info: ShardInfo; good: boolean }
  /** Lets one more piece of it come; lets it be. */
  | { type: 'more' | 'stop'; id: number };

/** Either end of the line between two threads. */
export interface Line<Out, In> {
  post(message: Out): void;
  listen(handler: (message: In) => void): void;
}
