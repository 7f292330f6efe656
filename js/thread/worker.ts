// Owns starting a worker and the line to it: browsers', or that of node:worker_threads. Called by client.ts and loader.ts.
// Surprise: Deno and Bun have both, and get Node's: only that one can be let go, so that a program ends when it is done.
import { isNode, nodeModule } from '../host.ts';
import type { Line } from './protocol.ts';

/** A line that can also fail, be let go and be ended. */
export interface WorkerLine<Out, In> extends Line<Out, In> {
  onFailure(handler: (error: unknown) => void): void;
  /** Whether the worker keeps the process alive. */
  hold(alive: boolean): void;
  /** Resolves when it has ended, where the host tells. */
  end(): Promise<void>;
}

/** The Web's Worker, where it is the only one. */
const webWorker = (): typeof Worker | null =>
  !isNode && typeof Worker === 'function' ? Worker : null;

/** Whether this host has workers at all. */
export async function workersExist(): Promise<boolean> {
  if (webWorker()) return true;
  return await nodeModule('node:worker_threads').then(
    (threads) => typeof threads.Worker === 'function',
    () => false,
  );
}

/** A worker that runs `script`. */
export async function startWorker<Out, In>(
  script: URL,
  name: string,
): Promise<WorkerLine<Out, In>> {
  const Web = webWorker();
  if (Web) {
    const worker = new Web(script, { type: 'module', name });
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      listen: (handler) => worker.addEventListener('message', (event) => handler(event.data as In)),
      onFailure(handler) {
        worker.addEventListener('error', (event) =>
          handler(new Error(event.message || 'its worker failed to start')),
        );
      },
      hold: () => undefined,
      end: async () => worker.terminate(),
    };
  }
  const threads = await nodeModule('node:worker_threads');
  // Not the process's own arguments: some, such as --input-type, are refused for a script in a file.
  const worker = new threads.Worker(script, { name, execArgv: [] });
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer as never[]),
    listen: (handler) => void worker.on('message', handler),
    onFailure(handler) {
      worker.on('error', handler);
      worker.on('exit', (code) => handler(new Error(`its thread ended with exit code ${code}`)));
    },
    hold: (alive) => (alive ? worker.ref() : worker.unref()),
    end: async () => void (await worker.terminate()),
  };
}
