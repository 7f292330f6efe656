// A server that is killed while it computes: what it has accepted is finished by the next one on the same store, each a
// process of its own, of the built package.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { root } from '../js/real_model.ts';
import { caption, poll, send } from './runware_tasks.ts';

const folder = mkdtempSync(join(tmpdir(), 'ocelli-restart-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(file: string, how: 'hang' | 'answer') {
  const program = join(root, 'tests/worker/killed_server.mjs');
  const child = spawn(process.execPath, [program, file, how], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const [line] = (await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => Promise.reject(new Error('the server ended'))),
  ])) as [Buffer];
  const url = line.toString().trim();
  return {
    async kill(): Promise<void> {
      child.kill('SIGKILL');
      await ended;
    },
    post: (path: string, body: unknown, more: RequestInit = {}) =>
      fetch(url + path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...more.headers },
      }),
  };
}

it('accepted tasks are finished after SIGKILL', async () => {
  const file = join(folder, 'tasks.sqlite');
  const tasks = [1, 2, 3].map(() => caption({ deliveryMethod: 'async' }));
  const first = await start(file, 'hang');
  expect((await send(first, tasks)).data?.length).toBe(3);
  await first.kill();
  const second = await start(file, 'answer');
  for (const { taskUUID } of tasks)
    expect(await poll(second, taskUUID)).toMatchObject({
      data: [{ taskUUID, status: 'success', text: 'done after a restart' }],
    });
  await second.kill();
});
