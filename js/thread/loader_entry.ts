// Owns the thread that reads weights: it writes shards to the core's shared memory and hashes them. Started as a Worker by
// loader.ts. Surprise: the memory may have grown since this thread last looked; growing it by nothing shows all of it.
import { toPlain } from '../errors.ts';
import { platformHash } from '../weights/hash.ts';
import { moveShard } from '../weights/move.ts';
import { socketFetch } from '../weights/socket_fetch.ts';
import { type ShardSource, sourceFrom } from '../weights/source.ts';
import { listenInWorker } from './entry_line.ts';
import type { FromLoader, ToLoader } from './loader.ts';
import type { Line } from './protocol.ts';

/** Bytes between two words about progress. */
const progressBytes = 1 << 20;

function serveLoader(line: Line<FromLoader, ToLoader>): void {
  let source: ShardSource | undefined;
  let memory: WebAssembly.Memory | undefined;
  const making = platformHash();

  const view = (address: number, length: number): Uint8Array => {
    if (!memory) throw new Error('no memory has been given');
    if (memory.buffer.byteLength < address + length) memory.grow(0);
    return new Uint8Array(memory.buffer, address, length);
  };
  const move = async (message: ToLoader & { type: 'move' }): Promise<void> => {
    const { id, index, info, address, bytes } = message;
    try {
      if (!source) throw new Error('no source has been given');
      const hash = (await making)?.(info.bytes) ?? null;
      const room = {
        bytes,
        view: (offset: number, length: number) => view(address + offset, length),
        write: (offset: number, piece: Uint8Array) =>
          view(address + offset, piece.length).set(piece),
      };
      let told = 0;
      let fetched = 0;
      const progress = (now: number, overNetwork: number): void => {
        fetched = overNetwork;
        if (now - told < progressBytes) return;
        told = now;
        line.post({ type: 'progress', id, bytes: now, fetched });
      };
      await moveShard(source, index, info, room, { hash, progress });
      const sha256 = (await hash?.hex()) ?? null;
      line.post({ type: 'moved', id, sha256, fetched });
    } catch (error) {
      line.post({ type: 'failed', id, error: toPlain(error) });
    }
  };

  const settle = async (message: ToLoader & { type: 'settle' }): Promise<void> => {
    const { id, index, info, good } = message;
    try {
      const again = (await source?.settle?.(index, info, good)) ?? false;
      line.post({ type: 'settled', id, again });
    } catch (error) {
      line.post({ type: 'failed', id, error: toPlain(error) });
    }
  };
  const stop = async (): Promise<void> => {
    await source?.close?.().catch(() => undefined);
    line.post({ type: 'stopped' });
  };

  line.listen((message) => {
    switch (message.type) {
      case 'move':
        return void move(message);
      case 'settle':
        return void settle(message);
      case 'stop':
        return void stop();
      case 'open':
        source = sourceFrom(message.source.model, socketFetch, message.source.options);
        ({ memory } = message);
    }
  });
}

await listenInWorker(serveLoader);
