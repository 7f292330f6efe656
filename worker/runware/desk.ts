// Owns tasks from the moment they are sent until nobody waits for them: the same UUID is computed once, what is asynchronous
// is kept before it is acknowledged and finished after a restart, what is finished can be asked for again. Called by the
// dialect and sessions.ts. Surprise: a task that somebody sends twice is not refused but attached to, since every SDK sends
// it again, with the same UUID, when an answer takes long; only the same UUID for something else is a conflict.
import { OcelliError } from '../../js/errors.ts';
import { isFields } from '../../js/request.ts';
import { onAbort } from '../abort.ts';
import type { Facts, WorkerContext } from '../context.ts';
import { checkUrl, type ImageRules } from '../image_guard.ts';
import { type Caller, sha256Hex } from '../keys.ts';
import { draining } from '../errors.ts';
import { createQueue } from '../queue.ts';
import { caption } from './caption.ts';
import { deliver, pause } from './deliver.ts';
import { type TaskError, taskError, refuse } from './errors.ts';
import { upload } from './images.ts';
import { deliveriesOf, entryOf, type Record, recordOf } from './records.ts';
import { isAsync, parseTask, polledUUID, type Task } from './tasks.ts';

/** Who brings a task. */
export interface Visitor {
  caller: Caller;
  /** Aborted when nobody waits there any more. */
  signal: AbortSignal;
  /** Of the server, as it is called from there: "https://host". */
  origin: string;
  /** Told of what goes on when nobody waits there any more. */
  outlive?: (work: Promise<unknown>) => void;
}

/** What a task gives: results, or an error with the status and headers that say so over HTTP. */
export interface Outcome {
  data?: object[];
  failure?: { error: TaskError; status: number; headers: { [name: string]: string } };
}

export interface Desk {
  /** Does one task of whatever kind but authentication. Never rejects. */
  handle(task: unknown, visitor: Visitor): Promise<Outcome>;
  /** Resolves when nothing is worked on, once the queue has stopped. */
  settled(): Promise<void>;
}

/** How a task is computed. */
interface Terms {
  caller: Caller;
  stop: AbortController;
  /** Goes on although nobody waits. */
  lasting: boolean;
  /** Sees to it that the work is not given up. */
  keep<T>(work: Promise<T>): Promise<T>;
}

interface Work {
  digest: string;
  /** Goes on although nobody waits. */
  lasting: boolean;
  waiters: number;
  stop: AbortController;
  /** Resolves when it has been taken on. */
  accepted: Promise<void>;
  reply: Promise<object>;
}

const taskTypes = ['caption', 'imageCaption', 'imageUpload', 'getResponse', 'ping'];
const makers = taskTypes.slice(0, 3);

/** A failure that was kept: thrown again as it was. */
class KeptFailure extends Error {
  readonly error: TaskError;
  constructor(error: TaskError) {
    super(error.message);
    this.error = error;
  }
}

export function createDesk(context: WorkerContext): Desk {
  const { limits, store, clock, ending } = context;
  const works = new Map<string, Work>();
  const pending = new Set<Promise<unknown>>();
  /** What nobody waits for goes to the engine's queue so many at a time, so that it leaves room there. */
  const line = createQueue({ runningMax: limits.runningMax, waitingMax: Infinity }, clock);
  let accepted = 0;
  const nameOf = (owner: string, uuid: string): string => `${owner} ${uuid.toLowerCase()}`;

  const track = <T>(work: Promise<T>): Promise<T> => {
    const quiet = work.catch(() => undefined).finally(() => pending.delete(quiet));
    pending.add(quiet);
    return work;
  };

  /** Runs the task to its reply, whoever else computes. */
  async function perform(record: Record & { task: Task }, caller: Caller, stop: AbortSignal) {
    const { task, origin } = record;
    const { taskType, taskUUID } = task;
    const start = clock();
    const facts: Facts = {};
    try {
      const made =
        task.taskType === 'imageUpload'
          ? await upload(context, task, origin, stop)
          : await caption(context, task, caller, stop, facts);
      return { taskType, taskUUID, ...made };
    } catch (error) {
      facts.error = taskError(error).error.code;
      throw error;
    } finally {
      const time = new Date(start).toISOString();
      const about = { time, task: taskType, task_uuid: taskUUID, ms: clock() - start };
      context.log({ ...about, caller: caller.name, ...facts });
    }
  }

  /** The same for one that nobody waits for: it waits for its turn, and is not refused for a full queue. */
  async function performInTurn(record: Record & { task: Task }, caller: Caller, stop: AbortSignal) {
    const leave = await line.enter(stop);
    try {
      for (;;) {
        try {
          return await perform(record, caller, stop);
        } catch (error) {
          if (!(error instanceof OcelliError) || error.code !== 'queue_full') throw error;
          await pause(limits.deliveryPauseMs, ending);
        }
      }
    } finally {
      leave();
    }
  }

  /** Keeps how it ended, tells whoever wants to be told, and keeps that. */
  async function finish(
    owner: string,
    record: Record,
    ended: Partial<Record>,
    keep: Terms['keep'],
  ): Promise<void> {
    const { task, ...rest } = record;
    const done: Record = { ...rest, ...ended };
    done.deliveries = task ? deliveriesOf(task, done) : record.deliveries;
    const expires = clock() + (record.ttl ? record.ttl * 1000 : limits.keepMs);
    const open = done.deliveries.length > 0;
    await store.put(entryOf(owner, done, open, expires));
    if (!open) return;
    const tell = async (): Promise<void> => {
      await Promise.all(done.deliveries.map((delivery) => deliver(context, delivery)));
      await store.put(entryOf(owner, { ...done, deliveries: [] }, false, expires));
    };
    void keep(tell()).catch(() => undefined); // the server ends: it stays open
  }

  /** Computes an accepted task and keeps its end. */
  async function carryOut(
    record: Record & { task: Task },
    { caller, stop, lasting, keep }: Terms,
  ): Promise<object> {
    const owner = caller.id;
    try {
      const reply = await (lasting ? performInTurn : perform)(record, caller, stop.signal);
      // A reply that finds no room is still a reply to those who wait.
      await finish(owner, record, { reply }, keep).catch((error: unknown) => {
        if (lasting) throw error;
      });
      return reply;
    } catch (error) {
      const unfinished = error instanceof OcelliError && error.code === 'shutting_down';
      if (lasting && !unfinished && !ending.aborted)
        await finish(owner, record, { error: taskError(error, record.task).error }, keep);
      throw error;
    } finally {
      if (lasting) accepted--;
    }
  }

  function begin(task: Task, digest: string, { caller, origin, outlive }: Visitor): Work {
    const { taskType, taskUUID, ttl } = task;
    const lasting = isAsync(task);
    const record = {
      digest,
      taskType,
      taskUUID,
      task,
      origin,
      deliveries: [],
      ...(ttl && { ttl }),
    };
    let accept = (): void => undefined;
    const keep = <T>(work: Promise<T>): Promise<T> => {
      outlive?.(work.catch(() => undefined));
      return track(work);
    };
    const terms = { caller, stop: new AbortController(), lasting, keep };
    const taken = new Promise<void>((resolve) => (accept = resolve));
    const run = async (): Promise<object> => {
      const before = await store.get('task', caller.id, taskUUID.toLowerCase());
      if (before) {
        const known = recordOf(before);
        if (known.digest !== digest) throw conflict(taskUUID);
        accept();
        if (known.reply) return known.reply;
        if (known.error) throw new KeptFailure(known.error);
      } else {
        context.keys.admit(caller);
        if (lasting) {
          if (accepted >= limits.tasksMax)
            throw refuse(
              'rateLimitExceeded',
              `${accepted} tasks are accepted and not finished, which is the limit`,
              null,
              429,
            );
          if (ending.aborted || context.queue.stopped) throw draining();
          accepted++;
          await store.put(entryOf(caller.id, record, true, 0)).catch((error: unknown) => {
            accepted--;
            throw error;
          });
        }
        accept();
      }
      return await carryOut(record, terms);
    };
    return enlist(nameOf(caller.id, taskUUID), digest, terms, taken, run);
  }

  function enlist(
    name: string,
    digest: string,
    { lasting, stop, keep }: Terms,
    taken: Promise<void>,
    run: () => Promise<object>,
  ): Work {
    const reply = keep(run()).finally(() => works.delete(name));
    reply.catch(() => undefined);
    const accepted = Promise.race([taken, reply.then(() => undefined)]);
    accepted.catch(() => undefined);
    const work = { digest, lasting, waiters: 0, stop, reply, accepted };
    works.set(name, work);
    return work;
  }

  async function submit(task: Task, visitor: Visitor): Promise<object> {
    const { taskType, taskUUID } = task;
    for (const name of ['webhookURL', 'uploadEndpoint'] as const)
      if (task[name]) checkTarget(name, task[name], context.outboundRules);
    const digest = await sha256Hex(stable(task));
    const name = nameOf(visitor.caller.id, taskUUID);
    const work = works.get(name) ?? begin(task, digest, visitor);
    if (work.digest !== digest) throw conflict(taskUUID);
    if (isAsync(task)) {
      await work.accepted;
      return { taskType, taskUUID };
    }
    return await attend(work, visitor.signal);
  }

  /** Waits for the reply; the last one who leaves before it is there ends the work. */
  async function attend(work: Work, signal: AbortSignal): Promise<object> {
    let unfollow = (): void => undefined;
    const left = new Promise<never>((_, reject) => {
      unfollow = onAbort(signal, () =>
        reject(new OcelliError(499, 'client_closed', 'the client closed the connection')),
      );
    });
    work.waiters++;
    try {
      return await Promise.race([work.reply, left]);
    } finally {
      unfollow();
      if (--work.waiters === 0 && signal.aborted && !work.lasting) work.stop.abort();
    }
  }

  async function poll(value: object, { caller }: Visitor): Promise<Outcome> {
    const taskUUID = polledUUID(value);
    const kept = await store.get('task', caller.id, taskUUID);
    const record = kept && recordOf(kept);
    const names = record && { taskType: record.taskType, taskUUID: record.taskUUID };
    if (record?.reply) return { data: [{ ...names, status: 'success', ...record.reply }] };
    if (record?.error) {
      const error: TaskError = { ...record.error, status: 'error' };
      return { data: [], failure: { error, status: 200, headers: {} } };
    }
    if (record) return { data: [{ ...names, status: 'processing' }] };
    if (works.has(nameOf(caller.id, taskUUID)))
      return { data: [{ taskType: 'caption', taskUUID, status: 'processing' }] };
    throw refuse('taskFailedOrNotFound', `there is no task ${taskUUID}`, 'taskUUID', 404);
  }

  /** Goes on with what a former process has accepted. */
  async function resume(): Promise<void> {
    for (const entry of await store.open('task')) {
      const record = recordOf(entry);
      const { task, digest } = record;
      if (!task) {
        await finish(entry.owner, record, {}, track);
        continue;
      }
      const caller = context.keys.callerById(entry.owner);
      accepted++;
      const terms = { caller, stop: new AbortController(), lasting: true, keep: track };
      const run = () => carryOut({ ...record, task }, terms);
      enlist(nameOf(entry.owner, entry.id), digest, terms, Promise.resolve(), run);
    }
  }
  const resumed = track(resume());
  resumed.catch((error: unknown) => context.log({ error: taskError(error).error.code }));

  return {
    async handle(value, visitor) {
      try {
        if (!isFields(value)) throw refuse('invalidTask', 'a task must be an object');
        const { taskType } = value;
        const known = taskTypes.join(', ');
        if (taskType === undefined || taskType === null)
          throw refuse('missingTaskType', `taskType is needed: ${known}`, 'taskType');
        if (taskType === 'ping') return { data: [{ taskType, pong: true }] };
        await resumed;
        if (taskType === 'getResponse') return await poll(value, visitor);
        if (typeof taskType !== 'string' || !makers.includes(taskType)) {
          const shown = JSON.stringify(taskType).slice(0, 60);
          throw refuse('unsupportedTaskType', `taskType ${shown} is none of ${known}`, 'taskType');
        }
        return { data: [await submit(parseTask({ ...value, taskType }), visitor)] };
      } catch (error) {
        if (error instanceof KeptFailure)
          return { failure: { error: error.error, status: 500, headers: {} } };
        return { failure: taskError(error, Object(value) as object) };
      }
    },
    async settled() {
      while (pending.size > 0) await Promise.all(pending);
    },
  };
}

/** Throws a Refusal 400 for a URL that the server does not call. */
function checkTarget(name: string, url: string, rules: ImageRules): void {
  try {
    checkUrl(new URL(url), rules);
  } catch (error) {
    const reason = (error as Error).message.replace('image host', 'host');
    throw refuse(`invalid${name.charAt(0).toUpperCase()}${name.slice(1)}`, reason, name);
  }
}

const conflict = (uuid: string): OcelliError =>
  refuse('conflictTaskUUID', `${uuid} is the UUID of another task already`, 'taskUUID');

/** JSON that does not depend on the order of keys. */
const stable = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    isFields(inner) ? Object.fromEntries(Object.entries(inner).sort()) : inner,
  );
