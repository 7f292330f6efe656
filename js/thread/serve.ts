// Owns the thread's side of the line: it opens an engine and answers the messages of client.ts. Called by entry.ts.
// Surprise: what kills the engine goes along with the next message as its death, and the client then throws the whole
// thread away.
import { OcelliError, type PlainError, toPlain } from '../errors.ts';
import type { ProgressCallback } from '../weights/progress.ts';
import { sourceFrom } from '../weights/source.ts';
import { type CoreLoader, openEngine } from './engine.ts';
import { hostSource } from './host_source.ts';
import type { Engine, EngineEvent, FromThread, Line, ThreadCall, ToThread } from './protocol.ts';

/** Serves one engine over `line`. `load` is for tests. */
export function serve(line: Line<FromThread, ToThread>, load?: CoreLoader): void {
  let engine: Engine | undefined;
  let opening: Promise<void> | undefined;
  const ending = new AbortController();
  const cancels = new Map<number, () => void>();
  const asked = hostSource(line);
  const theEngine = (): Engine => {
    if (!engine) throw new OcelliError(503, 'not_ready', 'the engine is not open yet');
    return engine;
  };

  const death = (): PlainError | null => (engine?.death ? toPlain(engine.death) : null);

  let events: { id: number; event: EngineEvent }[] = [];
  const flush = (): void => {
    if (events.length === 0) return;
    line.post({ type: 'events', events, death: death() });
    events = [];
  };
  // Events of one step travel together.
  const emit = (id: number, event: EngineEvent): void => {
    if (event.type === 'done' || event.type === 'error') cancels.delete(id);
    if (events.push({ id, event }) === 1) queueMicrotask(flush);
  };

  const answer = async (id: number, work: () => Promise<unknown>): Promise<void> => {
    try {
      line.post({ type: 'reply', id, value: await work() });
    } catch (error) {
      line.post({ type: 'refused', id, error: toPlain(error), death: death() });
    }
  };

  const perform = async (call: ThreadCall): Promise<unknown> => {
    if (call.name === 'tokenize') return await theEngine().tokenize(call.text, call.addedTokens);
    if (call.name === 'detokenize') return await theEngine().detokenize(call.ids, call.skipSpecial);
    if (call.name === 'stats') return await theEngine().stats();
    if (call.name === 'load adapter')
      return await theEngine().loadAdapter(call.adapter, call.files);
    if (call.name === 'drop adapter') return await theEngine().dropAdapter(call.adapter);
    if (call.name === 'loaded') return await theEngine().loaded();
    return await engine?.close();
  };

  const open = async (message: ToThread & { type: 'open' }): Promise<void> => {
    try {
      const source =
        message.source === 'host'
          ? asked.source
          : sourceFrom(message.source.model, undefined, message.source.options);
      const progress: ProgressCallback = (bytes, total, more) =>
        line.post({ type: 'progress', bytes, total, more });
      engine = await openEngine(message.options, source, progress, load, ending.signal);
      line.post({ type: 'opened', info: engine.info });
      await engine.loaded();
    } catch (error) {
      line.post({ type: 'failed', error: toPlain(error) });
    }
  };

  const release = async (): Promise<void> => {
    ending.abort(new OcelliError(500, 'engine_closed', 'the engine was closed'));
    await engine?.close().catch(() => undefined);
    await opening;
    line.post({ type: 'released' });
  };

  line.listen((message) => {
    switch (message.type) {
      case 'open':
        opening = open(message);
        return;
      case 'start':
        return void answer(message.id, async () => {
          cancels.set(
            message.id,
            await theEngine().start(message.request, (event) => emit(message.id, event)),
          );
        });
      case 'cancel':
        return cancels.get(message.id)?.();
      case 'call':
        return void answer(message.id, () => perform(message.call));
      case 'release':
        return void release();
      default:
        return asked.receive(message);
    }
  });
}
