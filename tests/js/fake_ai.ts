// An AI on a scripted core, in this thread or behind a line as a worker would be. Used by the tests of js/.
import { expect } from 'vitest';
import { createAI, type AI, type AIOptions } from '../../js/ai.ts';
import { OcelliError } from '../../js/errors.ts';
import { openOverLine } from '../../js/thread/client.ts';
import { openEngine } from '../../js/thread/engine.ts';
import type { Engine, FromThread, ToThread } from '../../js/thread/protocol.ts';
import { serve } from '../../js/thread/serve.ts';
import type { WorkerLine } from '../../js/thread/worker.ts';
import { type FakeCore, fakeSource } from './fake_core.ts';

/** Time for everything that can happen to happen. */
export const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

/** The OcelliError that `work` rejects with. */
export async function rejection(work: Promise<unknown>): Promise<OcelliError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(OcelliError);
  return error as OcelliError;
}

export type Place = 'inline' | 'line';

/** Both ends of a line over a MessageChannel: what crosses is cloned, as between threads. */
export function linePair(
  core: FakeCore,
): WorkerLine<ToThread, FromThread> & { ended: boolean; failNow(error: Error): void } {
  const { port1, port2 } = new MessageChannel();
  let failure: ((error: unknown) => void) | undefined;
  serve(
    {
      post: (message: FromThread) => port2.postMessage(message),
      listen: (handler) => void (port2.onmessage = ({ data }) => handler(data as ToThread)),
    },
    async () => core.loaded,
  );
  const line = {
    ended: false,
    post: (message: ToThread) => port1.postMessage(message),
    listen: (handler: (message: FromThread) => void) =>
      void (port1.onmessage = ({ data }) => handler(data as FromThread)),
    onFailure: (handler: (error: unknown) => void) => void (failure = handler),
    failNow: (error: Error) => failure?.(error),
    hold: () => undefined,
    async end() {
      line.ended = true;
      port1.close();
      port2.close();
    },
  };
  return line;
}

/** An engine on `core`. */
export async function fakeEngine(
  core: FakeCore,
  place: Place,
  source = fakeSource(),
): Promise<Engine> {
  const options = { threads: 2, open: {} };
  if (place === 'inline')
    return await openEngine(options, source, undefined, async () => core.loaded);
  return await openOverLine(linePair(core), options, source);
}

/** An AI whose engines come from `next`, asked anew after a crash. */
export function fakeAI(next: () => FakeCore, place: Place, options: AIOptions = {}): AI {
  return createAI(options, async () => fakeEngine(next(), place));
}
