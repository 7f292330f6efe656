// Owns sending the bytes of a caller's own ShardSource into the thread: hostSource() asks there, provide() answers here.
// Called by serve.ts and client.ts. Surprise: pieces are copied across, not transferred, since the caller may keep them,
// and only as many as are asked for: the thread may be computing for long.
import { fromPlain, OcelliError, type PlainError, toPlain } from '../errors.ts';
import { pieceBytes, shardFile, type ShardInfo, type ShardSource } from '../weights/source.ts';
import type { FromThread, Line, ToThread } from './protocol.ts';

/** A source whose bytes the other side sends: for callers that bring their own ShardSource. */
export function hostSource(line: Line<FromThread, ToThread>): {
  source: ShardSource;
  receive: (message: ToThread) => void;
} {
  const open = new Map<number, ReadableStreamDefaultController<Uint8Array>>();
  const settling = new Map<number, (again: boolean) => void>();
  let parallel = 1;
  let last = 0;
  const ask = (
    index: number,
    info: ShardInfo | null,
    doubt?: PlainError,
  ): ReadableStream<Uint8Array> => {
    const id = ++last;
    line.post({ type: 'need', id, index, info, ...(doubt && { doubt }) });
    return new ReadableStream<Uint8Array>({
      start: (controller) => void open.set(id, controller),
      pull: () => line.post({ type: 'more', id }),
      cancel() {
        open.delete(id); // what still comes is for nobody
        line.post({ type: 'stop', id });
      },
    });
  };
  const manifest = async (doubt?: PlainError): Promise<Uint8Array> =>
    new Uint8Array(await new Response(ask(-1, null, doubt)).arrayBuffer());
  return {
    source: {
      manifest: () => manifest(),
      async otherManifest(error) {
        const other = await manifest(toPlain(error));
        return other.length > 0 ? other : null;
      },
      shard: async (index, info) => ask(index, info),
      get parallel() {
        return parallel;
      },
      settle: (index, info, good) =>
        new Promise((resolve) => {
          const id = ++last;
          settling.set(id, resolve);
          line.post({ type: 'settle', id, index, info, good });
        }),
    },
    receive(message) {
      if (message.type === 'settled') {
        settling.get(message.id)?.(message.again);
        settling.delete(message.id);
      }
      if (message.type !== 'piece' && message.type !== 'end') return;
      const controller = open.get(message.id);
      if (message.type === 'piece') return controller?.enqueue(message.bytes);
      open.delete(message.id);
      parallel = message.parallel ?? parallel;
      if (message.error) controller?.error(fromPlain(message.error));
      else controller?.close();
    },
  };
}

/** The other half of hostSource(): answers its messages from `source`. */
export function provide(
  line: Line<ToThread, FromThread>,
  source: ShardSource,
): (message: FromThread & { type: 'need' | 'more' | 'stop' | 'settle' }) => void {
  /** By need: how many pieces may be sent, and who waits to send one. */
  const wanted = new Map<number, { pieces: number; stopped: boolean; wake: () => void }>();
  const send = async (id: number, piece: Uint8Array): Promise<void> => {
    const want = wanted.get(id);
    if (!want) return;
    while (want.pieces === 0 && !want.stopped)
      await new Promise<void>((resolve) => (want.wake = resolve));
    if (want.stopped) throw new Error('it is not wanted any more');
    want.pieces--;
    line.post({ type: 'piece', id, bytes: piece });
  };
  const manifest = async (doubt: PlainError | undefined): Promise<Uint8Array> => {
    if (!doubt) return await source.manifest();
    return (await source.otherManifest?.(fromPlain(doubt))) ?? new Uint8Array(0);
  };
  const answer = async (need: FromThread & { type: 'need' }): Promise<void> => {
    const { id, index, info } = need;
    try {
      const data = info ? await source.shard(index, info) : await manifest(need.doubt);
      if (data instanceof Uint8Array) {
        for (let at = 0; at < data.length; at += pieceBytes)
          await send(id, data.subarray(at, at + pieceBytes));
      } else {
        const reader = data.getReader();
        try {
          for (let piece = await reader.read(); !piece.done; piece = await reader.read())
            await send(id, piece.value);
        } finally {
          void reader.cancel().catch(() => undefined);
        }
      }
      const { parallel } = source;
      line.post({ type: 'end', id, error: null, ...(!info && { parallel }) });
    } catch (error) {
      const plain = toPlain(error);
      const code = error instanceof OcelliError ? plain.code : 'io_error';
      const where = info ? shardFile(info) : 'manifest.json';
      const message = `${where}: ${plain.message}`;
      line.post({ type: 'end', id, error: { ...plain, code, message } });
    } finally {
      wanted.delete(id);
    }
  };
  const settle = async (message: FromThread & { type: 'settle' }): Promise<void> => {
    const { id, index, info, good } = message;
    const again = await source.settle?.(index, info, good).catch(() => false);
    line.post({ type: 'settled', id, again: again ?? false });
  };
  return (message) => {
    if (message.type === 'settle') return void settle(message);
    if (message.type === 'need') {
      wanted.set(message.id, { pieces: 0, stopped: false, wake: () => undefined });
      return void answer(message);
    }
    const want = wanted.get(message.id);
    if (!want) return;
    if (message.type === 'more') want.pieces++;
    else want.stopped = true;
    want.wake();
  };
}
