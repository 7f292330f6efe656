// The package as a user gets it: what is in the tarball, and that an empty project can import it, type-check against it
// and run its command. Surprise: types are checked without skipLibCheck, once as Node resolves and once as bundlers do.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
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
  it('has less than 15 MB, and 20 MB unpacked', () => {
    expect(found.bytes).toBeLessThan(15e6);
    expect(found.unpacked).toBeLessThan(20e6);
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

  it('has no URL that a bundler would take for a file to copy: it would come without what it imports', () => {
    const asset = /new URL\(\s*[^)]*import\.meta\.url/;
    const scripts = files.filter(
      (name) => /\.js$/.test(name) && !name.startsWith('build/js/cli/'), // not for bundles
    );
    const guilty = scripts.filter((name) => asset.test(readFileSync(join(home, name), 'utf8')));
    expect(guilty).toEqual([]);
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
import { type AI, type ChatCompletion, createAI, environmentOptions, OcelliError, run } from 'ocelli';
import { installAzion } from 'ocelli/azion';
import { type Manifest, openCache, parseManifest, pull, sourceFrom } from 'ocelli/weights';
import { createWorker } from 'ocelli/worker';
import { serveBun } from 'ocelli/worker/bun';
import { serveDeno } from 'ocelli/worker/deno';
import { serveNode } from 'ocelli/worker/node';
import { createAI as createForWorkerd } from 'ocelli/workerd';
const ai: AI = createAI({ threads: 1 });
const messages = [{ role: 'user', content: 'Who are you?' }];
const whole: ChatCompletion = await ai.run(null, { messages });
for await (const chunk of await run(null, { stream: true, messages })) chunk.choices[0]?.delta.content;
const text: string | null | undefined = whole.choices[0]?.message.content;
const hosted = await Azion.AI.run('qwen-qwen25-vl-3b-instruct-awq', { messages });
const reply: Response = await createWorker({ ai }).fetch(new Request('http://here/health'));
export { text, hosted, reply, OcelliError };
const servers: string[] = [serveBun, serveDeno].map((serve) => serve(createWorker({ ai }), { port: 0 }).url);
const there: Promise<void> = createForWorkerd({ idleUnloadMs: 1000 }).close();
const onNode: string = (await serveNode(createWorker({ ai }))).url;
export { servers, there, onNode };
const elsewhere = createAI({ remote: { url: 'https://host/v1', apiKey: 'K' }, engine: 'remote' });
const where: string | null = (await elsewhere.info()).model;
installAzion({ ...environmentOptions(), engine: 'local' });
const manifest: Manifest = parseManifest(await sourceFrom('/model').manifest());
const kept: number = (await pull('https://host/model/', { cache: 'memory' })).bytes;
export { where, manifest, kept, openCache };
// @ts-expect-error an endpoint needs an address
createAI({ remote: {} });
// @ts-expect-error threads is a number
createAI({ threads: 'two' });
`;

// A server of the container and of one answer, both asked by the package in the same program.
const subpaths = `
import { createReadStream } from 'node:fs';
import { createServer } from 'node:http';
import { openCache, parseManifest, pull, sourceFrom } from 'ocelli/weights';
import { installAzion } from 'ocelli/azion';
const [folder, home] = process.argv.slice(2);
const container = home + '/models/demo/container/';
const message = { role: 'assistant', content: 'From there.' };
const server = createServer((request, response) => {
  if (request.method === 'POST') response.end(JSON.stringify({ choices: [{ index: 0, message }] }));
  else if (request.url === '/v1/models') response.writeHead(404).end();
  else createReadStream(container + request.url).pipe(response);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const url = 'http://127.0.0.1:' + server.address().port;
const { shards } = parseManifest(await sourceFrom(container).manifest());
const cache = { directory: folder };
const first = await pull(url, { cache });
const again = await pull(url, { cache });
const cached = (await (await openCache(cache)).list()).map(({ name }) => name);
const ai = installAzion({ engine: 'remote', remote: { url, model: 'theirs' } });
const answer = await Azion.AI.run(null, { messages: [{ role: 'user', content: 'Hi' }] });
console.log(JSON.stringify({
  shards: shards.length > 0,
  fetched: first.fetched === first.bytes,
  again: again.fetched,
  cached,
  said: answer.choices[0].message.content,
  engine: (await ai.info()).engine,
}));
server.closeAllConnections();
server.close();
`;

describe('an empty project', () => {
  it.each([
    ['nodenext', 'nodenext'],
    ['node16', 'node16'],
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

  it("checks its types in a program for Node alone, without the DOM's", async () => {
    const folder = join(found.project, 'types-node');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'main.ts'), usage);
    const compilerOptions = {
      ...{ module: 'nodenext', target: 'es2022', lib: ['es2023'], types: ['node'] },
      ...{ strict: true, noEmit: true, skipLibCheck: false },
      typeRoots: [join(root, 'node_modules/@types')],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const ended = await program(process.execPath, [tsc, '-p', folder]);
    expect(ended).toEqual({ code: 0, out: '', err: '' });
  });

  it("uses each subpath: the loader, an endpoint, the hosted platform's global", async () => {
    const file = join(found.project, 'subpaths.mjs');
    writeFileSync(file, subpaths);
    const folder = mkdtempSync(join(tmpdir(), 'ocelli-subpaths-'));
    try {
      const { code, out, err } = await program(process.execPath, [file, folder, home]);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(JSON.parse(out)).toEqual({
        shards: true,
        fetched: true,
        again: 0,
        cached: ['ocelli-demo'],
        said: 'From there.',
        engine: 'remote',
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
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
