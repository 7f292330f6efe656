// Owns the first lines that run in the engine's thread: they find the line to the other side and serve it. Loaded as a
// Worker by client.ts: in browsers, Deno, Bun and Node. Surprise: nothing is awaited before a browser's worker listens,
// since messages may be waiting already.
import { nodeModule } from '../host.ts';
import type { FromThread, ToThread } from './protocol.ts';
import { serve } from './serve.ts';

interface WorkerScope {
  postMessage?: (message: unknown, transfer?: Transferable[]) => void;
  addEventListener(type: 'message', handler: (event: MessageEvent) => void): void;
}

const scope = globalThis as unknown as WorkerScope;
if (typeof scope.postMessage === 'function') {
  serve({
    post: (message: FromThread, transfer = []) => scope.postMessage?.(message, transfer),
    listen: (handler) =>
      scope.addEventListener('message', (event) => handler(event.data as ToThread)),
  });
} else {
  const { parentPort } = await nodeModule('node:worker_threads');
  serve({
    post: (message, transfer = []) => parentPort?.postMessage(message, transfer as never[]),
    listen: (handler) => void parentPort?.on('message', handler),
  });
}
