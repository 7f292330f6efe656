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

/** A browser's worker says so at its start: it holds this lock as long as it lives. */
export interface Alive {
  type: 'alive';
  lock: string;
}
const isAlive = (data: unknown): data is Alive => (data as Partial<Alive>).type === 'alive';

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

/**
 * Chromium never ends a worker that is terminated while those that it started are just ending (6 of 40 on a busy machine,
 * none of 66 so), and nothing tells when they have.
 */
const lingerMs = 100;

/** A worker that runs `script`. */
export async function startWorker<Out, In>(
  script: URL,
  name: string,
): Promise<WorkerLine<Out, In>> {
  const Web = webWorker();
  if (Web) {
    const worker = new Web(script, { type: 'module', name });
    const ending = new AbortController();
    const { signal } = ending;
    const onMessage = (handler: (data: unknown) => void): void =>
      worker.addEventListener('message', (event) => handler(event.data));
    return {
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      listen: (handler) => onMessage((data) => void (isAlive(data) || handler(data as In))),
      onFailure(handler) {
        worker.addEventListener('error', (event) =>
          handler(new Error(event.message || 'its worker failed to start')),
        );
        onMessage((data) => {
          if (!isAlive(data)) return;
          // Granted when the worker, which holds it, is no more.
          const gone = (): void => handler(new Error('its worker was ended'));
          navigator.locks.request(data.lock, { signal }, gone).catch(() => undefined);
        });
      },
      hold: () => undefined,
      async end() {
        ending.abort();
        await new Promise((resolve) => setTimeout(resolve, lingerMs));
        worker.terminate();
      },
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
