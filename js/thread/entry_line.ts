// Owns finding a worker's line to the thread that started it: in browsers, Node, Deno and Bun. Called by entry.ts and
// loader_entry.ts. Surprise: nothing is awaited before a browser's worker listens, since messages may be waiting already.
import { isNode, nodeModule } from '../host.ts';
import type { Line } from './protocol.ts';

interface WorkerScope {
  postMessage?: (message: unknown, transfer?: Transferable[]) => void;
  addEventListener(type: 'message', handler: (event: MessageEvent) => void): void;
}

/** Calls `serve` with the line; where there are Node's workers that comes a moment later. */
export function listenInWorker<Out, In>(
  serve: (line: Line<Out, In>) => void,
): Promise<void> | undefined {
  const scope = globalThis as unknown as WorkerScope;
  if (!isNode) {
    serve({
      post: (message, transfer = []) => scope.postMessage?.(message, transfer),
      listen: (handler) => scope.addEventListener('message', (event) => handler(event.data as In)),
    });
    return undefined;
  }
  return nodeModule('node:worker_threads').then(({ parentPort }) =>
    serve({
      post: (message, transfer = []) => parentPort?.postMessage(message, transfer as never[]),
      listen: (handler) => void parentPort?.on('message', handler),
    }),
  );
}
