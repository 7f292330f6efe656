// `ocelli chat` as a program that is given lines: what is asked, what is said about it, how it ends.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { bitmap, ocelli, randomModel, removal, root } from './real_model.ts';

let made: Awaited<ReturnType<typeof randomModel>>;
let options: string[];
beforeAll(async () => {
  made = await randomModel();
  writeFileSync(join(made.folder, 'image.bmp'), bitmap(84, 112));
  options = ['--model', made.model, '--max-tokens', '5', '--temperature', '0'];
  return removal(made.folder);
});
const chat = (lines: string[], ...more: string[]) =>
  ocelli(['chat', ...options, ...more], lines.map((line) => `${line}\n`).join(''));
const figures = (text: string) =>
  [...text.matchAll(/^(\d+) prompt tokens(?: \((\d+) known\))?/gm)].map(([, all, known]) => [
    Number(all),
    Number(known ?? 0),
  ]);

it('each question goes on from what was said, and only what is new is computed', async () => {
  const first = 'one two three four five six seven eight nine ten';
  const ended = await chat([first, 'and then?', '/reset', first], '--verbose');
  expect(ended.code).toBe(0);
  const [one, two, again] = figures(ended.err) as [number, number][];
  expect(two![0]).toBeGreaterThan(one![0] + 5);
  expect(two![1]).toBeGreaterThan(one![0] - 17);
  expect(again![0]).toBe(one![0]);
  expect(again![1]).toBeGreaterThan(one![0] - 17);
});

it('answers go to standard output and nothing else', async () => {
  const ended = await chat(['Hello']);
  const run = await ocelli(['run', 'Hello', ...options]);
  expect(ended).toEqual(run);
  expect(ended.err).toBe('');
});

it('a picture is asked about once, and stays in the conversation', async () => {
  const path = join(made.folder, 'image.bmp');
  const given = await chat(['What?'], '--image', path, '--verbose');
  for (const line of [`/image ${path}`, `  ${path}`, `'${path}'`]) {
    const shown = await chat([line, 'What?', 'And?'], '--verbose');
    expect([shown.code, shown.out.startsWith(given.out)]).toEqual([0, true]);
    const [first, second] = figures(shown.err) as [number, number][];
    expect(first).toEqual(figures(given.err)[0]);
    expect(second![0] - first![0]).toBeLessThan(25); // no picture again
  }
});

it('a line may go on in the next one', async () => {
  const ended = await chat(['Hello\\', 'you']);
  expect(ended).toEqual(await ocelli(['run', 'Hello\nyou', ...options]));
});

it('what is wrong is told, and the conversation goes on', async () => {
  writeFileSync(join(made.folder, 'no.png'), 'no picture');
  const bad = ['/image /nowhere/x.png', '/what', `/image ${join(made.folder, 'no.png')}`, 'What?'];
  const ended = await chat([...bad, 'Hello']);
  expect(ended.code).toBe(0);
  expect(ended.err).toContain('there is no file /nowhere/x.png');
  expect(ended.err).toContain('/reset       begin anew');
  expect(ended.err).toContain('ocelli: invalid_image: ');
  expect(ended.out).toBe((await ocelli(['run', 'Hello', ...options])).out);
});

it('/exit ends it; so does SIGTERM, in the middle of an answer too', async () => {
  const ended = await chat(['/exit', 'Hello']);
  expect([ended.code, ended.out]).toEqual([0, '']);
  const endless = ['chat', '--model', made.model, '--max-tokens', '900'];
  const child = spawn(process.execPath, [join(root, 'build/js/cli/main.js'), ...endless]);
  child.stdin.write('Hello\n');
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([143, null]);
});
