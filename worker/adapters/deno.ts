// Owns the worker on Deno's own server. Called by users. Surprise: Deno is used through its global, of which only these few
// words are known here, so that the package needs no types of it.
import type { Worker } from '../app.ts';
import type { NodeServer } from './node.ts';
import { fetchOrUpgrade, visitOver, type WebSocketLike } from './sockets.ts';

interface DenoServer {
  addr: { hostname: string; port: number };
  shutdown(): Promise<void>;
}
interface DenoGlobal {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen(): void },
    handler: (request: Request) => Promise<Response>,
  ): DenoServer & { finished: Promise<void> };
  upgradeWebSocket(request: Request): { socket: WebSocketLike; response: Response };
}

/** Serves `worker`, Runware's sockets too. Throws when the address cannot be had. Needs --allow-net. */
export function serveDeno(
  worker: Worker,
  { host = '127.0.0.1', port = 8000 }: { host?: string; port?: number } = {},
): NodeServer {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoGlobal };
  const ending = new AbortController();
  const upgrade = (request: Request): Response => {
    const { socket, response } = deno.upgradeWebSocket(request);
    visitOver(worker, socket, request);
    return response;
  };
  const handler = (request: Request): Promise<Response> => fetchOrUpgrade(worker, request, upgrade);
  const { signal } = ending;
  const options = { hostname: host, port, signal, onListen: () => undefined };
  const server = deno.serve(options, handler);
  const { hostname, port: bound } = server.addr;
  return {
    url: `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${bound}`,
    async close(graceMs) {
      await worker.drain(graceMs);
      const timer = setTimeout(() => ending.abort(), 1000);
      await server.shutdown();
      clearTimeout(timer);
    },
  };
}
