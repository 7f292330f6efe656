// The package as a user gets it: what is in the tarball, and that an empty project can import it, type-check against it
// and run its command. Surprise: types are checked without skipLibCheck, once as Node resolves and once as bundlers do.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { found, program, root } from './runtime.ts';

const home = join(found.project, 'node_modules/ocelli');
const manifest = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
  exports: Record<string, string | Record<string, string>>;
  bin: Record<string, string>;
};
const files = readdirSync(home, { recursive: true, encoding: 'utf8' });

describe('the tarball', () => {
  it('has less than 15 MB, packed and unpacked', () => {
    expect(found.bytes).toBeLessThan(15e6);
    expect(found.unpacked).toBeLessThan(15e6);
  });

  it('has four builds, the converter, types, the command and the embedded model, and no sources', () => {
    for (const name of ['mt-relaxed', 'mt-simd128', 'st-relaxed', 'st-simd128'])
      expect(files).toContain(`build/wasm/${name}/ocelli.wasm`);
    for (const name of ['build/wasm/convert.wasm', 'build/js/index.d.ts', 'build/js/cli/main.js'])
      expect(files).toContain(name);
    expect(files).toContain('models/demo/container/manifest.json');
    expect(files.filter((name) => /^(src|tests|js|node_modules)\//.test(name))).toEqual([]);
    expect(files).toContain('build/worker/index.d.ts');
  });

  it('has every file that its manifest names', () => {
    const paths = Object.values(manifest.exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    );
    for (const path of [...paths, ...Object.values(manifest.bin)])
      if (!path.includes('*')) expect(existsSync(join(home, path)), path).toBe(true);
  });

  it('compiles no text and makes no blob: a strict content-security-policy holds', () => {
    const scripts = files.filter((name) => /\.m?js$/.test(name));
    expect(scripts.length).toBeGreaterThan(20);
    const guilty = scripts.filter((name) =>
      /\beval\s*\(|new Function\s*\(|createObjectURL|new Blob\s*\(/.test(
        readFileSync(join(home, name), 'utf8'),
      ),
    );
    expect(guilty).toEqual([]);
  });
});

const usage = `
import { type AI, type ChatCompletion, createAI, OcelliError, run } from 'ocelli';
import 'ocelli/azion';
import { createWorker } from 'ocelli/worker';
const ai: AI = createAI({ threads: 1 });
const messages = [{ role: 'user', content: 'Who are you?' }];
const whole: ChatCompletion = await ai.run(null, { messages });
for await (const chunk of await run(null, { stream: true, messages })) chunk.choices[0]?.delta.content;
const text: string | null | undefined = whole.choices[0]?.message.content;
const hosted = await Azion.AI.run('qwen-qwen25-vl-3b-instruct-awq', { messages });
const reply: Response = await createWorker({ ai }).fetch(new Request('http://here/health'));
export { text, hosted, reply, OcelliError };
// @ts-expect-error threads is a number
createAI({ threads: 'two' });
`;

describe('an empty project', () => {
  it.each([
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('checks its types with module %s, resolution %s', async (module, moduleResolution) => {
    const folder = join(found.project, `types-${moduleResolution}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'main.ts'), usage);
    const compilerOptions = {
      ...{ module, moduleResolution, target: 'es2022', lib: ['es2023', 'dom', 'dom.iterable'] },
      ...{ strict: true, noEmit: true, skipLibCheck: false, types: [] },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const ended = await program(process.execPath, [tsc, '-p', folder]);
    expect(ended).toEqual({ code: 0, out: '', err: '' });
  });

  it('runs the command', async () => {
    const words = ['--offline', '--no', 'ocelli', 'run', 'What is the capital of France?'];
    const { code, out } = await program('npx', words);
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/Paris/) as string });
  });

  it('gets sensible answers of the embedded model', () => {
    expect(found.expected['text, whole']?.text).toMatch(/Paris/);
    expect(found.expected['image, whole']?.text).toMatch(/^The image shows .*\./);
  });
});
