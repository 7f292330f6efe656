// Owns sending the bytes of a caller's own ShardSource into the thread: hostSource() asks there, provide() answers here.
// Called by serve.ts and client.ts. Surprise: pieces are copied across, not transferred, since the caller may keep them.
import { fromPlain, toPlain } from '../errors.ts';
import { shardFile, type ShardSource } from '../weights/source.ts';
import type { FromThread, Line, ToThread } from './protocol.ts';

/** A source whose bytes the other side sends: for callers that bring their own ShardSource. */
export function hostSource(line: Line<FromThread, ToThread>): {
  source: ShardSource;
  receive: (message: ToThread) => void;
} {
  const open = new Map<number, ReadableStreamDefaultController<Uint8Array>>();
  let last = 0;
  const ask = (
    index: number,
    info: Parameters<ShardSource['shard']>[1] | null,
  ): ReadableStream<Uint8Array> => {
    const id = ++last;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => void open.set(id, controller),
    });
    line.post({ type: 'need', id, index, info });
    return stream;
  };
  return {
    source: {
      manifest: async () => new Uint8Array(await new Response(ask(-1, null)).arrayBuffer()),
      shard: async (index, info) => ask(index, info),
    },
    receive(message) {
      if (message.type !== 'piece' && message.type !== 'end') return;
      const controller = open.get(message.id);
      if (message.type === 'piece') return controller?.enqueue(message.bytes);
      open.delete(message.id);
      if (message.error) controller?.error(fromPlain(message.error));
      else controller?.close();
    },
  };
}

/** The other half of hostSource(): answers a "need" from `source`. */
export async function provide(
  line: Line<ToThread, FromThread>,
  need: FromThread & { type: 'need' },
  source: ShardSource,
): Promise<void> {
  const { id, index, info } = need;
  try {
    const data = info ? await source.shard(index, info) : await source.manifest();
    if (data instanceof Uint8Array) line.post({ type: 'piece', id, bytes: data });
    else {
      const reader = data.getReader();
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
        line.post({ type: 'piece', id, bytes: piece.value });
      }
    }
    line.post({ type: 'end', id, error: null });
  } catch (error) {
    const plain = toPlain(error);
    const where = info ? shardFile(info) : 'manifest.json';
    line.post({ type: 'end', id, error: { ...plain, message: `${where}: ${plain.message}` } });
  }
}
