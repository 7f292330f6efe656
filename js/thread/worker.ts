// Owns starting a worker and the line to it: browsers', or that of node:worker_threads. Called by client.ts and loader.ts.
// Surprise: Deno and Bun have both, and get Node's: only that one can be let go, so that a program ends when it is done.
import { OcelliError } from '../errors.ts';
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

/** The script is not where this program looks for it: bundled into one file, it does not know its package any more. */
function notThere(script: URL, cause?: unknown): OcelliError {
  const message =
    `the script of its thread cannot be loaded from ${script.href}; in a bundled program ` +
    "`files` has to say where the package's folders build and models lie";
  return new OcelliError(500, 'io_error', message, 'files', cause);
}

/** A worker that runs `script`. */
export async function startWorker<Out, In>(
  script: URL,
  name: string,
): Promise<WorkerLine<Out, In>> {
  const Web = webWorker();
  if (Web) {
    let worker: Worker;
    try {
      worker = new Web(script, { type: 'module', name });
    } catch (error) {
      throw notThere(script, error); // of another origin
    }
    let spoke = false;
    const ending = new AbortController();
    const { signal } = ending;
    const onMessage = (handler: (data: unknown) => void): void =>
      worker.addEventListener('message', (event) => {
        spoke = true;
        handler(event.data);
      });
    return {
      post: (message) => worker.postMessage(message),
      listen: (handler) => onMessage((data) => void (isAlive(data) || handler(data as In))),
      onFailure(handler) {
        worker.addEventListener('error', ({ message }) =>
          handler(message || spoke ? new Error(message || 'its worker failed') : notThere(script)),
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
    post: (message) => worker.postMessage(message),
    listen: (handler) => void worker.on('message', handler),
    onFailure(handler) {
      worker.on('error', (error: NodeJS.ErrnoException) =>
        handler(/MODULE_NOT_FOUND$/.test(error.code ?? '') ? notThere(script, error) : error),
      );
      worker.on('exit', (code) => handler(new Error(`its thread ended with exit code ${code}`)));
    },
    hold: (alive) => (alive ? worker.ref() : worker.unref()),
    end: async () => void (await worker.terminate()),
  };
}
