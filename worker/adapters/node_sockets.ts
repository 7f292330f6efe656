// Owns sockets on Node's HTTP server, with ws. Called by node.ts. Surprise: a server with this takes every upgrade, so those to
// other paths are answered here, in HTTP, before they become sockets.
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import { WebSocketServer } from 'ws';
import type { Worker } from '../app.ts';
import { bufferedMax, refusedUpgrade } from './sockets.ts';

/** Takes Runware's sockets at /v1 and /. Returns what ends them all. */
export function serveSockets(worker: Worker, server: Server): () => void {
  const { limits } = worker.context;
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: limits.bodyBytesMax,
    perMessageDeflate: false,
  });
  server.on('upgrade', (request: IncomingMessage, socket, head) => {
    // From here on its errors are nobody else's, and one without a listener would end the process.
    socket.on('error', () => socket.destroy());
    const { origin, host = 'localhost' } = request.headers;
    const path = (request.url ?? '/').replace(/\?.*$/s, '');
    const status = refusedUpgrade(worker, path, origin);
    const refused = status && `${status} ${STATUS_CODES[status]}`;
    if (refused) return void socket.end(`HTTP/1.1 ${refused}\r\nconnection: close\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (line) => {
      const scheme = 'encrypted' in request.socket ? 'https' : 'http';
      const visit = worker.connect(
        {
          send: (text) =>
            new Promise((resolve) => {
              if (line.readyState !== line.OPEN) return resolve(false);
              if (line.bufferedAmount > bufferedMax) {
                line.terminate();
                return resolve(false);
              }
              line.send(text, (error) => resolve(!error));
            }),
          close: (code, reason) => line.close(code, reason),
        },
        `${scheme}://${host}`,
      );
      line.on('message', (data, binary) => {
        if (binary) line.close(1003, 'frames are text');
        else visit.receive((data as Buffer).toString('utf8'));
      });
      line.on('error', () => line.terminate());
      line.on('close', () => visit.gone());
    });
  });
  return () => {
    for (const line of sockets.clients) line.terminate();
    sockets.close();
  };
}
