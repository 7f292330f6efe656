// Owns handing an answer to HTTP: JSON, or a stream that ends when its reader stalls. Called by the dialects. Surprise: the
// bytes of a stream are those of AI.run, untouched; what stands between is only the watch on how long the reader takes.
import type { ChatStream } from '../js/types.ts';
import type { Completed } from './chat.ts';
import type { RouteContext, WorkerContext } from './context.ts';

/** The response to a chat completion in the shape that AI.run gives it. */
export function answer(
  c: RouteContext,
  { limits }: WorkerContext,
  { result, ended }: Completed,
): Response {
  c.set('ended', ended);
  if (!(result instanceof Response)) return c.json(result);
  const { body, headers } = result as ChatStream;
  return c.body(watched(body as ReadableStream<Uint8Array>, limits.stallMs), 200, {
    'content-type': headers.get('content-type') ?? 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    // Proxies that gather a response would hold the stream back.
    'x-accel-buffering': 'no',
  });
}

/** `body`, which is cancelled when nobody asks for its next piece in `stallMs`. */
function watched(body: ReadableStream<Uint8Array>, stallMs: number): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const leave = (): void => void reader.cancel().catch(() => undefined);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        const { done, value } = await reader.read();
        if (done) return controller.close();
        controller.enqueue(value);
        timer = setTimeout(() => {
          leave();
          controller.error(new Error(`the reader took nothing for ${stallMs} ms`));
        }, stallMs);
      },
      cancel() {
        clearTimeout(timer);
        leave();
      },
    },
    { highWaterMark: 0 },
  );
}
