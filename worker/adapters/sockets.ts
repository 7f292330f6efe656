// Owns what platforms have in common about sockets: which upgrades are refused, and a socket of the Web's as a visit. Called
// by the other files of this folder. Surprise: not every platform says how much of what was sent is still on its way; where
// one does, a reader who takes nothing is let go.
import type { Worker } from '../app.ts';

/** Frames that a reader who takes nothing may leave unsent, in bytes, before he is gone. */
export const bufferedMax = 16 << 20;

/** The status by which an upgrade at `path` from a page of `origin` is refused; null: it is taken. */
export function refusedUpgrade(
  { context: { origins } }: Worker,
  path: string,
  origin: string | null | undefined,
): 403 | 404 | null {
  if (path !== '/v1' && path !== '/') return 404;
  return origin && origins && !origins.includes(origin) ? 403 : null;
}

/** What of a WebSocket is used. */
export interface WebSocketLike {
  readonly readyState: number;
  readonly bufferedAmount?: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'message', handler: (event: { data: unknown }) => void): void;
  addEventListener(type: 'close' | 'error', handler: () => void): void;
}

const open = 1;

/** Speaks Runware's dialect over `socket`; `request`: the one that asked for it. */
export function visitOver(worker: Worker, socket: WebSocketLike, request: Request): void {
  const visit = worker.connect(
    {
      async send(text) {
        if (socket.readyState !== open) return false;
        if ((socket.bufferedAmount ?? 0) > bufferedMax) {
          socket.close(1008, 'too much is unread');
          return false;
        }
        socket.send(text);
        return true;
      },
      close: (code, reason) => socket.close(code, reason),
    },
    new URL(request.url).origin,
  );
  const { bodyBytesMax } = worker.context.limits;
  socket.addEventListener('message', ({ data }) => {
    if (typeof data !== 'string') socket.close(1003, 'frames are text');
    else if (data.length > bodyBytesMax) socket.close(1009, 'the frame is too long');
    else visit.receive(data);
  });
  socket.addEventListener('error', () => visit.gone());
  socket.addEventListener('close', () => visit.gone());
}

/** fetch() of a platform: the worker's, and `upgrade` for a request that asks for a socket and may have one. */
export async function fetchOrUpgrade<T>(
  worker: Worker,
  request: Request,
  upgrade: (request: Request) => T,
): Promise<Response | T> {
  const { headers, url } = request;
  if (headers.get('upgrade')?.toLowerCase() !== 'websocket') return await worker.fetch(request);
  const status = refusedUpgrade(worker, new URL(url).pathname, headers.get('origin'));
  return status ? new Response('there is no socket here for you', { status }) : upgrade(request);
}
