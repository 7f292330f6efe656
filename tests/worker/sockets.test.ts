// Runware's dialect over WebSocket, on a real server with a real socket. The words before each colon are those of the
// compatibility list.
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { serveNode } from '../../worker/adapters/node.ts';
import { sha256Hex } from '../../worker/keys.ts';
import { settled } from '../js/fake_ai.ts';
import { type Script, textScript } from '../js/fake_core.ts';
import { type FakeWorker, fakeWorker } from './fake_worker.ts';
import { caption, type Reply, uuid } from './runware_tasks.ts';

const key = 'rw-0123456789abcdef';
const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function serve(worker: FakeWorker): Promise<string> {
  const server = await serveNode(worker, { port: 0 });
  ends.push(() => server.close(1000));
  return server.url.replace('http', 'ws');
}

/** A socket whose frames are asked for one by one. */
async function dial(url: string) {
  const socket = new WebSocket(`${url}/v1?sdk=js&version=1.3.2`);
  const frames: Reply[] = [];
  const closed = once(socket, 'close') as Promise<[number, Buffer]>;
  socket.on('message', (data: Buffer) => frames.push(JSON.parse(data.toString()) as Reply));
  await once(socket, 'open');
  ends.push(async () => socket.terminate());
  return {
    socket,
    closed,
    send: (value: unknown): void =>
      socket.send(typeof value === 'string' ? value : JSON.stringify(value)),
    async next(): Promise<Reply> {
      while (frames.length === 0) await settled();
      return frames.shift()!;
    },
  };
}
type Dialled = Awaited<ReturnType<typeof dial>>;

async function authenticate(line: Dialled, more: object = {}): Promise<string> {
  line.send([{ taskType: 'authentication', apiKey: key, ...more }]);
  const reply = await line.next();
  expect(reply).toEqual({
    data: [{ taskType: 'authentication', connectionSessionUUID: expect.any(String) as string }],
  });
  return reply.data![0]!['connectionSessionUUID'] as string;
}

const keyed = async (options: object = {}, script?: () => Script): Promise<FakeWorker> =>
  fakeWorker({ keys: [{ name: 'one', sha256: await sha256Hex(key) }], ...options }, script);

describe('Runware: WS auth', () => {
  it('lets in with a session, and answers with the same frames as HTTP', async () => {
    const line = await dial(await serve(await keyed()));
    await authenticate(line);
    const task = caption();
    line.send([task]);
    const { taskUUID } = task;
    expect(await line.next()).toEqual({ data: [{ taskType: 'caption', taskUUID, text: 'Hello' }] });
  });

  it('says what is wrong with a key, a frame, a task, and goes on', async () => {
    const line = await dial(await serve(await keyed()));
    const task = caption();
    line.send([task]);
    expect(await line.next()).toMatchObject({
      errors: [{ code: 'missingApiKey', taskType: 'caption', taskUUID: task['taskUUID'] }],
    });
    line.send([{ taskType: 'authentication', apiKey: 'wrong' }]);
    expect(await line.next()).toEqual({
      errors: [
        {
          ...{ code: 'invalidApiKey', message: 'the API key is not known', parameter: 'apiKey' },
          taskType: 'authentication',
        },
      ],
    });
    await authenticate(line);
    line.send('[');
    expect(await line.next()).toMatchObject({ errors: [{ code: 'invalidJson' }] });
    line.send({});
    expect(await line.next()).toMatchObject({ errors: [{ code: 'invalidRequest' }] });
    line.send([caption({ model: 'x@1' })]);
    expect(await line.next()).toMatchObject({ errors: [{ code: 'unsupportedModel' }] });
  });

  it('five wrong keys close the line', async () => {
    const line = await dial(await serve(await keyed()));
    for (let i = 0; i < 5; i++) line.send([{ taskType: 'authentication', apiKey: 'wrong' }]);
    expect((await line.closed)[0]).toBe(1008);
  });

  it('tasks in the same frame as the authentication are after it', async () => {
    const line = await dial(await serve(await keyed()));
    line.send([{ taskType: 'authentication', apiKey: key }, caption()]);
    expect(await line.next()).toMatchObject({ data: [{ taskType: 'authentication' }] });
    expect(await line.next()).toMatchObject({ data: [{ text: 'Hello' }] });
  });
});

describe('Runware: ping', () => {
  it('is answered by pong, also while a task runs', async () => {
    const worker = await keyed({}, () => [textScript([])[0]!, 'forever']);
    const line = await dial(await serve(worker));
    await authenticate(line);
    line.send([caption()]);
    line.send([{ taskType: 'ping', ping: true }]);
    expect(await line.next()).toEqual({ data: [{ taskType: 'ping', pong: true }] });
  });

  it('silence closes the line', async () => {
    const line = await dial(await serve(await keyed({ limits: { silenceMs: 50 } })));
    const [code, reason] = await line.closed;
    expect([code, reason.toString()]).toEqual([1001, 'silence']);
  });
});

describe('Runware: resume', () => {
  it('a session replays what its former line did not get', async () => {
    const worker = await keyed();
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    const run = worker.context.ai.run.bind(worker.context.ai);
    Object.assign(worker.context.ai, {
      run: async (...words: Parameters<typeof run>) => (await opened, run(...words)),
    });
    const url = await serve(worker);
    const first = await dial(url);
    const session = await authenticate(first);
    const tasks = [caption(), caption()];
    first.send(tasks);
    while (worker.context.queue.running < 2) await settled();
    first.socket.terminate();
    await first.closed;
    open();
    while (worker.context.queue.running > 0) await settled();
    const second = await dial(url);
    expect(await authenticate(second, { connectionSessionUUID: session })).toBe(session);
    const replies = [await second.next(), await second.next()].map(({ data }) => data![0]!);
    expect(replies.map(({ taskUUID }) => taskUUID).sort()).toEqual(
      tasks.map(({ taskUUID }) => taskUUID).sort(),
    );
  });

  it('an unknown session is a new one', async () => {
    const line = await dial(await serve(await keyed()));
    const asked = uuid();
    expect(await authenticate(line, { connectionSessionUUID: asked })).not.toBe(asked);
  });
});

describe('the server', () => {
  it('takes sockets at /v1 and / alone', async () => {
    const url = await serve(await keyed());
    const wrong = new WebSocket(`${url}/v2`);
    const [error] = (await once(wrong, 'error')) as [Error];
    expect(error.message).toMatch(/404/);
  });

  it('outlives who resets the line that it refused', async () => {
    const url = await serve(fakeWorker());
    const { hostname, port } = new URL(url);
    for (const path of ['/no', '/v1']) {
      const line = connect(Number(port), hostname);
      const head = `GET ${path} HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n`;
      line.write(head);
      await once(line, 'data');
      line.resetAndDestroy();
      await settled();
    }
    expect((await dial(url)).socket.readyState).toBe(WebSocket.OPEN);
  });

  it('takes them only from the origins it may', async () => {
    const url = await serve(await keyed({ origins: ['https://a.example'] }));
    const wrong = new WebSocket(url, { origin: 'https://b.example' });
    const [error] = (await once(wrong, 'error')) as [Error];
    expect(error.message).toMatch(/403/);
    const right = new WebSocket(url, { origin: 'https://a.example' });
    await once(right, 'open');
    right.terminate();
  });

  it('that ends tells its lines', async () => {
    const worker = await keyed();
    const line = await dial(await serve(worker));
    await authenticate(line);
    await worker.drain(1000);
    expect((await line.closed)[0]).toBe(1001);
  });
});
