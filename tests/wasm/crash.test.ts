// A compute thread that dies (tests/wasm/faulty.cc): the run that waits for it is rejected at once, and the next run has a
// fresh engine. Surprise: the package is copied, so that the module can be exchanged between two runs; and each case is a
// program of its own, since what must not happen is that it hangs or that an error escapes.
import { cpSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { bitmap, node, removal, root, variantNames } from '../js/real_model.ts';

const model = join(root, 'models/demo/container');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ocelli-crash-'));
  for (const name of ['package.json', 'build/js'])
    cpSync(join(root, name), join(folder, 'package', name), { recursive: true });
  return removal(folder);
});

/** Puts a build of `variant` where the package looks for it. */
function place(variant: string, built: string): void {
  for (const file of ['ocelli.wasm', 'ocelli.mjs'])
    cpSync(join(root, built, file), join(folder, 'package/build/wasm', variant, file));
}

/** One run with the faulty module, then one with the real one; prints how each ended. */
const program = (variant: string, thread: string, content: string): string => `
  import { cpSync } from 'node:fs';
  import { createAI } from ${JSON.stringify(join(folder, 'package/build/js/index.js'))};
  const ai = createAI({
    model: ${JSON.stringify(model)}, variant: '${variant}', thread: '${thread}', threads: 3, context: 512,
  });
  await ai.info();
  const body = { messages: [{ role: 'user', content: ${content} }], max_tokens: 60, ignore_eos: true };
  const said = [];
  for (const next of ['faulty', 'real']) {
    const start = performance.now();
    const ended = await ai.run(null, body).then(
      ({ usage }) => usage.completion_tokens,
      ({ name, status, code, message }) => ({ name, status, code, message, ms: performance.now() - start }),
    );
    said.push(ended);
    if ('${thread}' === 'inline') break; // the faulty glue is loaded for good
    cpSync(${JSON.stringify(join(root, 'build/wasm', variant))},
           ${JSON.stringify(join(folder, 'package/build/wasm', variant))}, { recursive: true });
  }
  console.log(JSON.stringify(said));`;

const image = `[{ type: 'image', image: Uint8Array.from(atob('${Buffer.from(bitmap(84, 112)).toString('base64')}'), (c) => c.charCodeAt(0)) }]`;

describe.each(variantNames.filter((name) => name.startsWith('mt')))('%s', (variant) => {
  it.each([
    ['traps', 'worker', `'Hello, how are you today?'`],
    ['runs out of memory', 'worker', image],
    ['traps, without a worker around it', 'inline', `'Hello, how are you today?'`],
  ])('a compute thread %s', async (_, thread, content) => {
    place(variant, `build/cmake/wasm-${variant}/faulty`);
    const file = join(folder, 'program.mjs');
    writeFileSync(file, program(variant, thread, content));
    const ended = await node([file]);
    expect(ended).toMatchObject({ code: 0 });
    const [crashed, after] = JSON.parse(ended.out) as [{ ms: number }, number | undefined];
    expect(crashed).toMatchObject({
      name: 'InternalServerError',
      status: 500,
      code: 'engine_crashed',
      message: 'the engine stopped: one of its compute threads crashed',
    });
    expect(crashed.ms).toBeLessThan(2000);
    expect(after).toBe(thread === 'inline' ? undefined : 60);
  });
});
