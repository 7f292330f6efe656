// The server's replies against two OpenAPI documents: OpenAI's, and its own, with schemathesis (python/schemathesis.toml).
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, inject, it } from 'vitest';
import { startCells, startPython } from './python.mjs';
import { startServer } from './server.mjs';

const { python } = inject('fetched');

describe("OpenAI's document", () => {
  let script;
  afterAll(() => script?.end());
  it.each([
    ...['a text', 'choices', 'log-probabilities', 'a tool', 'a named tool', 'a JSON schema'],
    ...['an image', 'models', 'a model', 'a bad field', 'an unknown key', 'an unknown model'],
    'what differs',
  ])('%s', async (name) => {
    script ??= startCells(python.openai, 'openai_document.py', inject('at'));
    await script.cell(name);
  });
});

it('keeps to its own document', async () => {
  const server = await startServer(['--quiet', '--running', '64', '--waiting', '1000']);
  const config = join(import.meta.dirname, 'python/schemathesis.toml');
  // It keeps what it finds in the folder where it runs.
  const folder = mkdtempSync(join(tmpdir(), 'ocelli-'));
  const words = ['--config-file', config, 'run', `${server.url}/openapi.json`];
  const child = startPython(python.openai, [join(python.openai, 'bin/st'), ...words], folder);
  child.stdin.end();
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (said += bytes));
  const status = await new Promise((resolve) => child.on('close', resolve));
  const ended = await server.stop();
  expect(status, said).toBe(0);
  expect(said).toMatch(/Selected: (\d+)\/\1\s+Tested: \1\n/);
  expect(ended).toBe(0);
}, 1_800_000);
