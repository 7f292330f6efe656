// Owns the ABI as TypeScript: one typed function per export of src/abi/ocelli.h. Called by thread/engine.ts; tests put
// a scripted core in its place. Surprise: after a trap nothing is called any more, every function then throws
// engine_crashed: the instance's memory may be half written.
import { badRequest, type CoreError, engineCrashed, fromCore, OcelliError } from '../errors.ts';
import type { Memory } from './memory.ts';

export const abiVersion = 3;

/** A started module: its exports without a prefix underscore, and its memory. */
export interface Instance {
  exports: Record<string, (...values: number[]) => number>;
  memory: Memory;
}

export type Compute = 'fast' | 'reference';
/** How the KV cache of fast compute stores keys and values. */
export type KvFormat = 'f16' | 'int8';

/** The options JSON of ocelli_open() and ocelli_plan(). */
export interface OpenOptions {
  threads?: number;
  compute?: Compute;
  kv?: KvFormat;
  context?: number;
  sequences_max?: number;
  image_tokens_max?: number;
  memory_bytes_max?: number;
  /** Whether prompts take over what earlier ones have computed; true by default. */
  prefix_cache?: boolean;
  guess?: boolean;
  /** Entropy for requests that name no seed. */
  seed?: number;
}

/** What a step leaves: nothing to do, more to do, or requests that wait for weights. */
export type StepState = 'idle' | 'more' | 'weights';

export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[] | null;
}
export interface LogprobEntry extends TokenLogprob {
  top_logprobs: TokenLogprob[];
}
export interface ToolDelta {
  index: number;
  name?: string;
  arguments?: string;
}
export interface ImageInfo {
  /** As the model sees it: boxes that it names are in these pixels. */
  width: number;
  height: number;
  /** As it came. */
  source_width: number;
  source_height: number;
  grid: [number, number, number];
}
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'abort';
export interface CoreUsage {
  prompt_tokens: number;
  /** Of them, those that were in the cache. */
  cached_tokens: number;
  completion_tokens: number;
}

/** Milliseconds, taken beside the core, which has no clock. */
export interface Timing {
  /** From the request's opening to its first token. */
  first_token_ms: number;
  /** From there to its last one. */
  decode_ms: number;
}

/** What ocelli_next_event() gives, less its `request`. */
export type CoreEvent =
  | { type: 'prompt'; prompt_tokens: number; prompt_token_ids?: number[]; images: ImageInfo[] }
  | { type: 'progress'; stage: string; done: number; total: number }
  | {
      type: 'delta';
      index: number;
      text?: string;
      tool_calls?: ToolDelta[];
      logprobs?: LogprobEntry[];
      token_ids?: number[];
      tokens?: number;
    }
  | { type: 'finish'; index: number; reason: FinishReason; stop_reason: string | number | null }
  | { type: 'done'; usage: CoreUsage; prompt_logprobs?: unknown[]; timing?: Timing }
  | ({ type: 'error' } & CoreError);

export interface Calls {
  abiVersion(): number;
  /** Bytes of the module's memory; it never shrinks. */
  memoryBytes(): number;
  /** Whether this build's kernels compute what the scalar ones do. */
  selfTest(): boolean;
  plan(manifest: Uint8Array, options: OpenOptions): unknown;
  open(manifest: Uint8Array, options: OpenOptions): number;
  /** Where a shard's bytes go: hand pieces to write() at address + offset. */
  shardReserve(engine: number, index: number): { address: number; bytes: number };
  write(address: number, bytes: Uint8Array): void;
  /** That memory itself where other threads may write to it, else null: growing would detach it. */
  shared(address: number, length: number): Uint8Array | null;
  /** The first `bytes` bytes are written: the core hashes those that are new. */
  shardHash(engine: number, index: number, bytes: number): void;
  /** What the host has hashed itself, in hex, before the commit. */
  shardDigest(engine: number, index: number, sha256: string): void;
  shardCommit(engine: number, index: number): void;
  ready(engine: number): void;
  /** A little work for nothing, so that V8 optimises the kernels before a request comes; true: call again. */
  warmUp(engine: number): boolean;
  close(engine: number): void;
  /** addedTokens: whether <|im_start|> in the text is one token. */
  tokenize(engine: number, text: string, addedTokens: boolean): number[];
  detokenize(engine: number, ids: readonly number[], skipSpecial: boolean): string;
  /** The text of adapter_config.json and the bytes of adapter_model.safetensors. */
  adapterLoad(engine: number, name: string, config: string, tensors: Uint8Array): void;
  adapterDrop(engine: number, name: string): void;
  mediaPut(engine: number, bytes: Uint8Array): number;
  mediaDrop(engine: number, media: number): void;
  requestOpen(engine: number, json: string): number;
  requestCancel(engine: number, request: number): void;
  requestClose(engine: number, request: number): void;
  /** Counts the first tokens of a prompt as computed, with made-up keys and values; for measuring. */
  requestAssume(engine: number, request: number, tokens: number): void;
  step(engine: number): StepState;
  nextEvent(engine: number): { request: number; event: CoreEvent } | null;
  stats(engine: number): unknown;
  dump(
    engine: number,
    request: number,
    name: string,
  ): { data: Uint8Array<ArrayBuffer>; rows: number; columns: number };
}

const encoder = new TextEncoder();
const stepStates: readonly StepState[] = ['idle', 'more', 'weights'];

/** The calls of one instance. Throws when its ABI is another version. */
export function createCalls({ exports, memory }: Instance): Calls {
  let trap: OcelliError | null = null;

  const raw = (name: string, ...values: number[]): number => {
    if (trap) throw trap;
    const exported = exports[`ocelli_${name}`];
    if (!exported)
      throw new OcelliError(500, 'internal_error', `the module has no function ocelli_${name}`);
    try {
      return exported(...values);
    } catch (error) {
      // What the threaded modules' runtime throws when it finds that a helper thread has ended with an exception.
      trap = engineCrashed(error === 'unwind' ? 'one of its compute threads crashed' : error);
      throw trap;
    }
  };
  // Sixteen bytes for out pointers, and one block that grows for what is handed in.
  const out = raw('alloc', 16) >>> 0;
  let block = 0;
  let blockBytes = 0;

  const check = (status: number): void => {
    if (status === 0) return;
    if (raw('last_error', out, out + 4) !== 0) {
      throw new OcelliError(500, 'internal_error', `status ${status} without a description`);
    }
    throw fromCore(JSON.parse(memory.text(memory.u32(out), memory.u32(out + 4))) as CoreError);
  };
  const call = (name: string, ...values: number[]): void => check(raw(name, ...values));
  const put = (bytes: Uint8Array): number => {
    if (bytes.length > blockBytes) {
      if (block) raw('free', block);
      block = raw('alloc', bytes.length) >>> 0;
      blockBytes = block ? bytes.length : 0;
      if (!block) {
        throw new OcelliError(
          507,
          'out_of_memory',
          `no memory for ${bytes.length} bytes handed to the core`,
        );
      }
    }
    memory.view(block, bytes.length).set(bytes);
    return block;
  };
  /** Two pieces handed in at once, each aligned to 8 bytes. */
  const putTwo = (first: Uint8Array, second: Uint8Array): [number, number] => {
    const offset = (first.length + 7) & ~7;
    const both = new Uint8Array(offset + second.length);
    both.set(first);
    both.set(second, offset);
    const address = put(both);
    return [address, address + offset];
  };
  const outText = (): string => memory.text(memory.u32(out), memory.u32(out + 4));
  const outJson = (): unknown => JSON.parse(outText());

  const version = raw('abi_version');
  if (version !== abiVersion) {
    throw new OcelliError(
      500,
      'abi_version',
      `the module has ABI version ${version}, this package needs ${abiVersion}`,
    );
  }

  return {
    abiVersion: () => version,
    memoryBytes: () => memory.bytes(),
    selfTest: () => raw('self_test') === 1,
    plan(manifest, options) {
      const text = encoder.encode(JSON.stringify(options));
      const [a, b] = putTwo(manifest, text);
      call('plan', a, manifest.length, b, text.length, out, out + 4);
      return outJson();
    },
    open(manifest, options) {
      const text = encoder.encode(JSON.stringify(options));
      const [a, b] = putTwo(manifest, text);
      call('open', a, manifest.length, b, text.length, out);
      return memory.u32(out);
    },
    shardReserve(engine, index) {
      call('shard_reserve', engine, index, out, out + 4);
      return { address: memory.u32(out), bytes: memory.u32(out + 4) };
    },
    write: (address, bytes) => memory.view(address, bytes.length).set(bytes),
    shared: (address, length) => {
      const view = memory.view(address, length);
      return view.buffer instanceof ArrayBuffer ? null : view;
    },
    shardHash: (engine, index, bytes) => call('shard_hash', engine, index, bytes),
    shardDigest(engine, index, sha256) {
      const bytes = encoder.encode(sha256);
      call('shard_digest', engine, index, put(bytes), bytes.length);
    },
    shardCommit: (engine, index) => call('shard_commit', engine, index),
    ready: (engine) => call('ready', engine),
    warmUp(engine) {
      call('warm_up', engine, out);
      return memory.u32(out) !== 0;
    },
    close: (engine) => call('close', engine),
    tokenize(engine, text, addedTokens) {
      const bytes = encoder.encode(text);
      call('tokenize', engine, put(bytes), bytes.length, addedTokens ? 1 : 0, out, out + 4);
      return outJson() as number[];
    },
    detokenize(engine, ids, skipSpecial) {
      const bytes = new Uint8Array(Int32Array.from(ids).buffer);
      call('detokenize', engine, put(bytes), ids.length, skipSpecial ? 1 : 0, out, out + 4);
      return outText();
    },
    adapterLoad(engine, name, config, tensors) {
      call('adapter_reserve', engine, tensors.length, out);
      memory.view(memory.u32(out), tensors.length).set(tensors);
      const [first, second] = [encoder.encode(name), encoder.encode(config)];
      const [a, b] = putTwo(first, second);
      call('adapter_commit', engine, a, first.length, b, second.length);
    },
    adapterDrop(engine, name) {
      const bytes = encoder.encode(name);
      call('adapter_drop', engine, put(bytes), bytes.length);
    },
    mediaPut(engine, bytes) {
      if (bytes.length === 0)
        throw badRequest('invalid_image', 'the image has 0 bytes', 'messages');
      call('media_put', engine, put(bytes), bytes.length, out);
      return memory.u32(out);
    },
    mediaDrop: (engine, media) => call('media_drop', engine, media),
    requestOpen(engine, json) {
      const bytes = encoder.encode(json);
      call('request_open', engine, put(bytes), bytes.length, out);
      return memory.u32(out);
    },
    requestCancel: (engine, request) => call('request_cancel', engine, request),
    requestClose: (engine, request) => call('request_close', engine, request),
    requestAssume: (engine, request, tokens) => call('request_assume', engine, request, tokens),
    step(engine): StepState {
      call('step', engine, out);
      return stepStates[memory.u32(out)] ?? 'more';
    },
    nextEvent(engine) {
      call('next_event', engine, out, out + 4);
      if (memory.u32(out + 4) === 0) return null;
      const { request, ...event } = outJson() as { request: number } & CoreEvent;
      return { request, event: event as CoreEvent };
    },
    stats(engine) {
      call('stats', engine, out, out + 4);
      return outJson();
    },
    dump(engine, request, name) {
      const bytes = encoder.encode(name);
      call('dump', engine, request, put(bytes), bytes.length, out, out + 4, out + 8, out + 12);
      return {
        data: memory.copy(memory.u32(out), memory.u32(out + 4)),
        rows: memory.u32(out + 8),
        columns: memory.u32(out + 12),
      };
    },
  };
}
