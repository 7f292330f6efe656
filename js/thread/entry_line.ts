// Owns finding a worker's line to the thread that started it: in browsers, Node, Deno and Bun. Called by entry.ts and
// loader_entry.ts. Surprise: nothing is awaited before a browser's worker listens, since messages may be waiting already.
import { isNode, nodeModule } from '../host.ts';
import { randomHex } from '../json_text.ts';
import type { Line } from './protocol.ts';
import type { Alive } from './worker.ts';

interface WorkerScope {
  postMessage?: (message: unknown) => void;
  addEventListener(type: 'message', handler: (event: MessageEvent) => void): void;
}

/** Holds a lock for as long as this thread lives, and tells its name: no browser tells anybody when a worker ends. */
function showLife(scope: WorkerScope): void {
  const lock = `ocelli thread ${randomHex(32)}`;
  const held = navigator.locks?.request(lock, () => {
    scope.postMessage?.({ type: 'alive', lock } satisfies Alive);
    return new Promise(() => undefined);
  });
  held?.catch(() => undefined); // where locks are forbidden, it goes on without
}

/** Calls `serve` with the line; where there are Node's workers that comes a moment later. */
export function listenInWorker<Out, In>(
  serve: (line: Line<Out, In>) => void,
): Promise<void> | undefined {
  const scope = globalThis as unknown as WorkerScope;
  if (!isNode) {
    serve({
      post: (message) => scope.postMessage?.(message),
      listen: (handler) => scope.addEventListener('message', (event) => handler(event.data as In)),
    });
    showLife(scope);
    return undefined;
  }
  return nodeModule('node:worker_threads').then(({ parentPort }) =>
    serve({
      post: (message) => parentPort?.postMessage(message),
      listen: (handler) => void parentPort?.on('message', handler),
    }),
  );
}
