// What the command says to people's mistakes and to a system that refuses: one line that names the thing, no stack.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ocelli, randomModel, removal, root } from './real_model.ts';

let made: Awaited<ReturnType<typeof randomModel>>;
beforeAll(async () => {
  made = await randomModel();
  return removal(made.folder);
});

const main = join(root, 'build/js/cli/main.js');
/** Of an answer that takes far longer than a signal needs to arrive. */
const longBody = JSON.stringify({
  messages: [{ role: 'user', content: 'Hello' }],
  max_tokens: 4000,
  n: 8,
  ignore_eos: true,
  stream: true,
});

it('ocelli --version prints the version of the package', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(await ocelli(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

describe('a wrong command line ends with 2', () => {
  it.each([
    [['toString'], /there is no command "toString"/],
    [['run', '--fast'], /there is no option --fast; text that begins with - goes after --/],
    [['run', 'x', '--model'], /--model needs a value/],
    [['pull'], /1 operand is needed, got 0/],
    [['serve', '--port', '65536'], /--port is "65536"; it must be an integer, from 0 to 65535/],
    [['convert', 'a', 'b', '--shard-mib', '2000'], /--shard-mib is "2000"; .* from 1 to 1024/],
    [['bench', '--image', '100000'], /--image is "100000"; it must be an integer, from 28 to 8000/],
  ])('%j', async (words, message) => {
    const ended = await ocelli(words);
    expect([ended.code, ended.out]).toEqual([2, '']);
    expect(ended.err).toMatch(message);
  });
});

describe('what cannot be done ends with 1 and a sentence', () => {
  /** Runs it; the one line that was said. */
  async function complaint(words: string[], input = ''): Promise<string> {
    const ended = await ocelli(words, input);
    expect([ended.code, ended.out]).toEqual([1, '']);
    expect(ended.err).toMatch(/^ocelli: [^\n]+\n$/);
    return ended.err;
  }

  it('a body nested deeper than JSON can be written', async () => {
    const depth = 200_000;
    const deep = `{"messages":[],"x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(await complaint(['run', '--model', made.model, '--request', '-'], deep)).toMatch(
      /invalid_json: the request cannot be written as JSON/,
    );
  });

  it('a checkpoint in the place of a container', async () => {
    expect(await complaint(['run', 'x', '--model', made.source])).toMatch(
      /manifest\.json cannot be read: .*`ocelli convert`/,
    );
  });

  it('a folder that cannot be made, before anything is computed', async () => {
    const file = join(made.folder, 'a-file');
    writeFileSync(file, '');
    const below = join(file, 'folder');
    expect(await complaint(['synth', '--shape', 'tiny', join(below, 'out')])).toMatch(/a-file/);
    expect(await complaint(['run', 'x', '--model', made.model, '--dump', below])).toMatch(/a-file/);
  });

  it('a folder that is no checkpoint', async () => {
    expect(await complaint(['convert', made.model, join(made.folder, 'none')])).toMatch(
      /^ocelli: io_error: .*config\.json/,
    );
  });

  it.runIf(existsSync('/proc/self'))('a folder in a file system that takes none', async () => {
    expect(await complaint(['pull', 'http://127.0.0.1:9/', '--cache', '/proc/ocelli/x'])).toMatch(
      /cache_unusable: .*\/proc\/ocelli/,
    );
  });

  it('a port that is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    expect(await complaint(['serve', '--port', String(port)])).toMatch(/EADDRINUSE/);
    server.close();
  });

  it.runIf(existsSync('/dev/full'))('a standard output that takes no more', async () => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [main, 'inspect', made.model], {
      stdio: ['ignore', full, 'pipe'],
    });
    let said = '';
    child.stderr?.on('data', (bytes) => (said += bytes));
    const [code] = await once(child, 'close');
    closeSync(full);
    expect(code).toBe(1);
    expect(said).toMatch(/^ocelli: io_error: standard output cannot be written: [^\n]+\n$/);
  });
});

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s in the middle of an answer ends with %i', async (signal, status) => {
  const words = ['run', '--model', made.model, '--request', '-', '--compute', 'reference'];
  const child = spawn(process.execPath, [main, ...words]);
  child.stdin.end(longBody);
  let said = '';
  child.stderr.on('data', (bytes) => (said += bytes));
  child.stdout.once('data', () => child.kill(signal));
  const [code] = await once(child, 'close');
  expect([code, said]).toEqual([status, 'ocelli: stopped\n']);
});
