// Owns the worker on Bun's own server. Called by users. Surprise: Bun has one set of handlers for all sockets, and tells them
// apart by what was attached at the upgrade; Bun is used through its global, as Deno is (deno.ts).
import type { Worker } from '../app.ts';
import type { Visit } from '../runware/sessions.ts';
import type { NodeServer } from './node.ts';
import { bufferedMax, fetchOrUpgrade } from './sockets.ts';

interface Attached {
  origin: string;
  visit?: Visit;
}
interface BunSocket {
  data: Attached;
  send(text: string): number;
  close(code?: number, reason?: string): void;
  terminate(): void;
}
interface BunServer {
  hostname: string;
  port: number;
  upgrade(request: Request, options: { data: Attached }): boolean;
  timeout(request: Request, seconds: number): void;
  stop(closeAll?: boolean): Promise<void>;
}
interface BunGlobal {
  serve(options: {
    hostname: string;
    port: number;
    maxRequestBodySize: number;
    fetch(request: Request, server: BunServer): Promise<Response | undefined>;
    websocket: {
      maxPayloadLength: number;
      backpressureLimit: number;
      closeOnBackpressureLimit: boolean;
      open(socket: BunSocket): void;
      message(socket: BunSocket, message: string | Uint8Array): void;
      close(socket: BunSocket): void;
    };
  }): BunServer;
}

/** Serves `worker`, Runware's sockets too. Throws when the address cannot be had. */
export function serveBun(
  worker: Worker,
  { host = '127.0.0.1', port = 8000 }: { host?: string; port?: number } = {},
): NodeServer {
  const { Bun: bun } = globalThis as unknown as { Bun: BunGlobal };
  const { bodyBytesMax } = worker.context.limits;
  const server = bun.serve({
    hostname: host,
    port,
    // One more is refused in the words of the dialect.
    maxRequestBodySize: bodyBytesMax + (1 << 20),
    async fetch(request, self) {
      // An answer may take long to begin.
      self.timeout(request, 0);
      return await fetchOrUpgrade(worker, request, () => {
        const data = { origin: new URL(request.url).origin };
        if (self.upgrade(request, { data })) return undefined;
        return new Response('no socket can be made of this', { status: 400 });
      });
    },
    websocket: {
      maxPayloadLength: bodyBytesMax,
      backpressureLimit: bufferedMax,
      closeOnBackpressureLimit: true,
      open(socket) {
        const line = {
          // 0: it was dropped; -1: it waits to be sent.
          send: async (text: string) => socket.send(text) !== 0,
          close: (code: number, reason: string) => socket.close(code, reason),
        };
        socket.data.visit = worker.connect(line, socket.data.origin);
      },
      message(socket, message) {
        if (typeof message === 'string') socket.data.visit?.receive(message);
        else socket.close(1003, 'frames are text');
      },
      close: (socket) => socket.data.visit?.gone(),
    },
  });
  return {
    url: `http://${server.hostname.includes(':') ? `[${server.hostname}]` : server.hostname}:${server.port}`,
    async close(graceMs) {
      await worker.drain(graceMs);
      const timer = setTimeout(() => void server.stop(true), 1000);
      await server.stop();
      clearTimeout(timer);
    },
  };
}
