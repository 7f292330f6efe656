// Owns Runware's dialect over WebSocket, less the socket: who speaks, what was not delivered, when a silent line ends. Called by
// app.ts for the adapters. Surprise: a session outlives its line. What is computed meanwhile waits, and is sent to whoever
// comes with the same key and the session's UUID.
import { isFields } from '../../js/request.ts';
import type { WorkerContext } from '../context.ts';
import { OcelliError } from '../../js/errors.ts';
import type { Caller } from '../keys.ts';
import type { Outcome } from './desk.ts';
import { refuse, taskError } from './errors.ts';

/** An open socket. */
export interface Line {
  /** Resolves to whether it was sent. */
  send(text: string): Promise<boolean>;
  close(code: number, reason: string): void;
}

/** What a socket is told of. */
export interface Visit {
  receive(text: string): void;
  gone(): void;
}

export interface Sessions {
  /** `origin` is the server's, as it is called from there. */
  connect(line: Line, origin: string): Visit;
  /** Ends all of them. */
  close(): void;
}

interface Session {
  uuid: string;
  caller: Caller;
  line: Line | null;
  /** Frames that found no line. */
  undelivered: string[];
  stop: AbortController;
  expiry: ReturnType<typeof setTimeout> | undefined;
}

/** Whose key it is. Rejects with a Refusal 401 missingApiKey or invalidApiKey. */
export async function callerWith({ keys }: WorkerContext, key: unknown): Promise<Caller> {
  if (keys.required && (key === undefined || key === null || key === ''))
    throw refuse('missingApiKey', 'an API key is needed', 'apiKey', 401);
  if (key !== undefined && key !== null && typeof key !== 'string')
    throw refuse('invalidApiKey', 'apiKey must be a string', 'apiKey', 401);
  try {
    return await keys.callerOf(key ?? null);
  } catch (error) {
    if (!(error instanceof OcelliError) || error.status !== 401) throw error;
    throw refuse('invalidApiKey', error.message, 'apiKey', 401);
  }
}

export function createSessions(context: WorkerContext): Sessions {
  const { limits, desk, keys } = context;
  const sessions = new Map<string, Session>();
  const lines = new Set<Line>();

  const end = (session: Session): void => {
    clearTimeout(session.expiry);
    session.stop.abort();
    sessions.delete(session.uuid);
  };

  async function put(session: Session, frame: string): Promise<void> {
    const { line } = session;
    if (line && (await line.send(frame))) return;
    // Another line may have come while this one failed.
    if (session.line && session.line !== line) return put(session, frame);
    session.undelivered.push(frame);
    if (session.undelivered.length > limits.undeliveredMax) session.undelivered.shift();
  }

  function open(caller: Caller, asked: unknown): Session {
    const known = typeof asked === 'string' ? sessions.get(asked) : undefined;
    if (known && known.caller === caller) {
      clearTimeout(known.expiry);
      known.line?.close(1000, 'the session goes on elsewhere');
      return known;
    }
    const stop = new AbortController();
    const uuid = crypto.randomUUID();
    const session = { uuid, caller, line: null, undelivered: [], stop, expiry: undefined };
    sessions.set(uuid, session);
    // Those without a line go first, the oldest of them.
    if (sessions.size > limits.sessionsMax)
      for (const other of sessions.values())
        if (!other.line && other !== session) {
          end(other);
          break;
        }
    return session;
  }

  function connect(line: Line, origin: string): Visit {
    let session: Session | null = null;
    let silence: ReturnType<typeof setTimeout> | undefined;
    let wrongKeys = 0;
    /** Frames wait for the authentication before them. */
    let ready: Promise<void> = Promise.resolve();
    lines.add(line);

    const hear = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => line.close(1001, 'silence'), limits.silenceMs);
    };
    const fail = (error: unknown, task?: unknown): Promise<boolean> =>
      line.send(frameOf({ failure: taskError(error, Object(task) as object) }));

    async function authenticate(task: { [name: string]: unknown }): Promise<void> {
      try {
        const caller = await callerWith(context, task['apiKey']);
        const opened = open(caller, task['connectionSessionUUID']);
        session = opened;
        opened.line = line;
        const { uuid } = opened;
        const reply = { taskType: 'authentication', connectionSessionUUID: uuid };
        await put(opened, frameOf({ data: [reply] }));
        for (const frame of opened.undelivered.splice(0)) await put(opened, frame);
      } catch (error) {
        await fail(error, task);
        if (++wrongKeys >= 5) line.close(1008, 'too many wrong keys');
      }
    }

    async function one(task: unknown): Promise<void> {
      if (isFields(task) && task['taskType'] === 'authentication') return authenticate(task);
      if (isFields(task) && task['taskType'] === 'ping')
        return void line.send(frameOf({ data: [{ taskType: 'ping', pong: true }] }));
      if (!session && keys.required)
        return void fail(refuse('missingApiKey', 'authenticate first', 'apiKey', 401), task);
      if (!session) {
        session = open(await keys.callerOf(null), undefined);
        session.line = line;
      }
      const { caller, stop } = session;
      const mine = session;
      const visitor = { caller, signal: stop.signal, origin };
      void desk.handle(task, visitor).then((outcome) => put(mine, frameOf(outcome)));
    }

    hear();
    return {
      receive(text) {
        hear();
        let tasks: unknown;
        try {
          tasks = JSON.parse(text);
        } catch {
          return void fail(refuse('invalidJson', 'the frame is not JSON'));
        }
        if (!Array.isArray(tasks))
          return void fail(refuse('invalidRequest', 'a frame must be an array of tasks'));
        if (tasks.length > limits.tasksPerRequest)
          return void fail(refuse('maxTasks', `at most ${limits.tasksPerRequest} tasks a frame`));
        for (const task of tasks as unknown[]) ready = ready.then(() => one(task));
        ready.catch(() => line.close(1011, 'an internal error'));
      },
      gone() {
        clearTimeout(silence);
        lines.delete(line);
        if (session?.line !== line) return;
        const left = session;
        left.line = null;
        left.expiry = setTimeout(() => end(left), limits.sessionMs);
      },
    };
  }

  return {
    connect,
    close() {
      for (const line of lines) line.close(1001, 'the server is shutting down');
      for (const session of sessions.values()) end(session);
    },
  };
}

function frameOf({ data, failure }: Outcome): string {
  return JSON.stringify({ ...(data && { data }), ...(failure && { errors: [failure.error] }) });
}
