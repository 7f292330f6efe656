// Owns the worker on Node's HTTP server. Called by `ocelli serve`. Surprise: closing is in three steps: what is new is
// refused with 503 while connections are still taken, what runs gets its grace time, and then the sockets go.
import { createAdaptorServer } from '@hono/node-server';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:http';
import type { Worker } from '../app.ts';
import { serveSockets } from './node_sockets.ts';

export { sqliteStore } from './node_store.ts';

export interface NodeServer {
  /** e.g. "http://127.0.0.1:8000" */
  readonly url: string;
  /** Refuses what is new, lets streams finish for `graceMs`, closes. */
  close(graceMs: number): Promise<void>;
}

/** Serves `worker`; rejects when the address cannot be had. */
export async function serveNode(
  worker: Worker,
  { host = '127.0.0.1', port = 8000 }: { host?: string; port?: number } = {},
): Promise<NodeServer> {
  const server = createAdaptorServer({ fetch: (request) => worker.fetch(request) }) as Server;
  const endSockets = serveSockets(worker, server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { address, family, port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`,
    async close(graceMs) {
      await worker.drain(graceMs);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => {
        endSockets();
        server.closeAllConnections();
      }, 1000);
      await closed;
      clearTimeout(timer);
    },
  };
}
