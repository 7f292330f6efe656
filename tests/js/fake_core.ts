// A core that follows a script: it implements the Calls of js/abi/calls.ts without a module. Used by the tests of js/.
// Surprise: it is strict where the real one is: handles go stale, calls after a trap are counted as mistakes.
import type { Calls, CoreEvent, OpenOptions } from '../../js/abi/calls.ts';
import type { LoadedCore } from '../../js/abi/load.ts';
import { engineCrashed, OcelliError } from '../../js/errors.ts';
import type { ShardSource } from '../../js/weights/source.ts';

/** One inner array a step. 'trap' makes the step trap, 'forever' repeats the last step until it is cancelled. */
export type Script = (CoreEvent[] | 'trap' | 'forever')[];

export interface FakeCore {
  loaded: LoadedCore;
  /** The JSON of each request that was opened. */
  opened: string[];
  media: Uint8Array[];
  /** Media handles that are still held, requests that are still open. */
  held: Set<number>;
  requests: Map<number, { script: Script; at: number; cancelled: boolean }>;
  steps: number;
  cancels: number;
  warmUps: number;
  placed: Uint8Array[];
  committed: Set<number>;
  /** Shards without which no step does anything. */
  needs: number[];
  closed: boolean;
  /** Calls that came after close(). */
  callsAfterClose: number;
  options: OpenOptions | undefined;
  callsAfterTrap: number;
  stopped: boolean;
}

/** `script` is asked for each request with its parsed JSON; it may throw what request_open would. */
export function fakeCore(
  script: (body: Record<string, unknown>, json: string) => Script,
): FakeCore {
  const queue: { request: number; event: CoreEvent }[] = [];
  let trapped = false;
  let handles = 0;
  const live = <T>(work: () => T): T => {
    if (trapped) {
      core.callsAfterTrap++;
      throw engineCrashed(new WebAssembly.RuntimeError('unreachable'));
    }
    return work();
  };
  const known = (request: number) => {
    const found = core.requests.get(request);
    if (!found) throw new OcelliError(500, 'stale_handle', `request ${request} does not exist`);
    return found;
  };
  const stepOf = (request: number): void => {
    const state = known(request);
    if (state.cancelled) {
      queue.push({
        request,
        event: { type: 'finish', index: 0, reason: 'abort', stop_reason: null },
      });
      queue.push({
        request,
        event: {
          type: 'done',
          usage: { prompt_tokens: 1, cached_tokens: 0, completion_tokens: state.at },
        },
      });
      return;
    }
    const part = state.script[state.at] ?? [];
    if (part === 'trap') {
      trapped = true;
      throw engineCrashed(new WebAssembly.RuntimeError('unreachable'));
    }
    if (part !== 'forever') state.at++;
    const again = part === 'forever' ? state.script[state.at - 1] : part;
    for (const event of again as CoreEvent[]) queue.push({ request, event });
  };
  const calls: Calls = {
    abiVersion: () => 3,
    memoryBytes: () => 65536,
    selfTest: () => true,
    plan: () => ({ context: 4096 }),
    open(_, options) {
      core.options = options;
      return 7;
    },
    shardReserve: (_, index) => {
      if (core.closed) core.callsAfterClose++;
      core.placed[index] = new Uint8Array(shardBytes);
      return { address: index * 1000, bytes: shardBytes };
    },
    write: (address, bytes) => core.placed[Math.floor(address / 1000)]?.set(bytes, address % 1000),
    shared: () => null,
    shardHash: () => undefined,
    shardDigest: () => undefined,
    shardCommit(_, index) {
      if (core.closed) core.callsAfterClose++;
      if (core.placed[index]?.[0] === 0xbad % 256) {
        throw new OcelliError(500, 'shard_hash_mismatch', 'sha256 is 1234, the manifest says aaaa');
      }
      core.committed.add(index);
    },
    ready: () => undefined,
    warmUp: () => live(() => core.warmUps++ < 3),
    close: () => void (core.closed = true),
    tokenize: (_, text, added) =>
      live(() => [...text].map((c) => c.codePointAt(0) as number).concat(added ? [1] : [0])),
    detokenize: (_, ids) => live(() => String.fromCodePoint(...ids)),
    adapterLoad: () => live(() => undefined),
    adapterDrop: () => live(() => undefined),
    mediaPut: (_, bytes) =>
      live(() => {
        core.media.push(bytes);
        core.held.add(++handles);
        return handles;
      }),
    mediaDrop(_, media) {
      if (!core.held.delete(media))
        throw new OcelliError(500, 'stale_handle', `media ${media} does not exist`);
    },
    requestOpen: (_, json) =>
      live(() => {
        core.opened.push(json);
        const request = ++handles;
        core.requests.set(request, {
          script: script(JSON.parse(json), json),
          at: 0,
          cancelled: false,
        });
        return request;
      }),
    requestCancel(_, request) {
      core.cancels++;
      known(request).cancelled = true;
    },
    requestClose: (_, request) => void (known(request) && core.requests.delete(request)),
    requestAssume: (_, request) => void known(request),
    step: () =>
      live(() => {
        core.steps++;
        const waits = core.needs.some((index) => !core.committed.has(index));
        for (const [request, { cancelled }] of core.requests)
          if (cancelled || !waits) stepOf(request);
        return waits ? 'weights' : 'more';
      }),
    nextEvent: () => live(() => queue.shift() ?? null),
    stats: () => ({ steps: core.steps, guessed_tokens: 5, accepted_tokens: 3 }),
    dump: (_, __, name) => ({ data: new TextEncoder().encode(name), rows: 2, columns: 3 }),
  };
  const stop = async (): Promise<void> => void (core.stopped = true);
  const core: FakeCore = {
    loaded: { calls, variant: 'custom', threads: 2, revectorised: false, memory: null, stop },
    opened: [],
    media: [],
    held: new Set(),
    requests: new Map(),
    steps: 0,
    cancels: 0,
    warmUps: 0,
    placed: [],
    committed: new Set(),
    needs: [],
    closed: false,
    callsAfterClose: 0,
    options: undefined,
    callsAfterTrap: 0,
    stopped: false,
  };
  return core;
}

export const shardBytes = 100;

/** A model of `count` shards of shardBytes bytes each; the first byte of shard 1 is wrong when `corrupt`. */
export function fakeSource({
  count = 2,
  corrupt = false,
  streamed = false,
  vision = -1,
} = {}): ShardSource {
  const shards = Array.from({ length: count }, (_, i) => ({
    sha256: String(i).repeat(64),
    bytes: shardBytes,
    holds: i === 0 ? ['tokenizer'] : [i === vision ? 'vision' : `layer.${i}`],
  }));
  const manifest = {
    format: 'ocelli',
    version: 1,
    name: 'fake-model',
    config: { text: { context: 8192 } },
    precision: { linear: 'u4', vision: 'f16', embedding: 'f16' },
    shards,
  };
  return {
    manifest: async () => new TextEncoder().encode(JSON.stringify(manifest)),
    async shard(index) {
      const bytes = new Uint8Array(shardBytes).fill(
        corrupt && index === 1 ? 0xbad % 256 : index + 1,
      );
      if (!streamed) return bytes;
      return new ReadableStream({
        start(controller) {
          for (let i = 0; i < shardBytes; i += 30) controller.enqueue(bytes.subarray(i, i + 30));
          controller.close();
        },
      });
    },
  };
}

/** The events of a plain answer: one step a piece of text. */
export function textScript(pieces: readonly string[], promptTokens = 9, ids = false): Script {
  const steps: Script = [
    [{ type: 'prompt', prompt_tokens: promptTokens, prompt_token_ids: [5, 6], images: [] }],
  ];
  for (const [i, text] of pieces.entries()) {
    steps.push([{ type: 'delta', index: 0, text, tokens: 1, ...(ids && { token_ids: [i] }) }]);
  }
  const usage = {
    prompt_tokens: promptTokens,
    cached_tokens: 0,
    completion_tokens: pieces.length + 1,
  };
  steps.push([
    { type: 'delta', index: 0, tokens: 1, ...(ids && { token_ids: [99] }) },
    { type: 'finish', index: 0, reason: 'stop', stop_reason: null },
    { type: 'done', usage },
  ]);
  return steps;
}
