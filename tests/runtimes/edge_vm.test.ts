// Functions written for the hosted platform, unchanged, in @edge-runtime/vm, which its local development uses: the four
// styles of handler, and examples/edge-function. Surprise: the VM is told to compile neither text nor WebAssembly, as an
// edge isolate would be; the module is compiled outside, as the platform does.
import { build, type Plugin } from 'esbuild';
import { cpSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answersOver, weights } from './http.ts';
import { expectSame, found, root, runtime, titled, type Told } from './runtime.ts';

interface EdgeVM {
  context: Record<string, unknown>;
  evaluate(code: string): unknown;
  dispatchFetch(url: string, init: object): Promise<Response>;
}
interface EdgeModule {
  EdgeVM: new (options: {
    codeGeneration: { strings: boolean; wasm: boolean };
    extend: (context: object) => object;
  }) => EdgeVM;
}

let model: { origin: string; close(): void };
const edge = join(found.project, 'edge');
beforeAll(async () => {
  // Beside the installed package, so that this is the one they import.
  cpSync(join(import.meta.dirname, 'edge'), edge, { recursive: true });
  cpSync(join(root, 'examples/edge-function'), edge, { recursive: true });
  model = await weights();
});
afterAll(() => model.close());

/** Bundles `code` into one script; an import of a .wasm file becomes what the host has compiled. */
async function bundled(code: string): Promise<string> {
  const compiled: Plugin = {
    name: 'compiled modules',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path, namespace: 'compiled' }));
      onLoad({ filter: /.*/, namespace: 'compiled' }, ({ path }) => ({
        contents: `export default globalThis.COMPILED[${JSON.stringify(path)}]`,
      }));
    },
  };
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: found.project },
    bundle: true,
    format: 'iife',
    write: false,
    plugins: [compiled],
    logOverride: { 'empty-import-meta': 'silent' },
  });
  return outputFiles[0]?.text ?? '';
}

async function edgeVm(name: string, code: string, globals: object = {}): Promise<EdgeVM> {
  const load = createRequire(join(runtime(name).path, 'any.js'));
  const { EdgeVM } = load('@edge-runtime/vm') as EdgeModule;
  const file = join(found.project, 'node_modules/ocelli/build/wasm/st-simd128/ocelli.wasm');
  const compiled = {
    'ocelli/wasm/st-simd128/ocelli.wasm': await WebAssembly.compile(readFileSync(file)),
  };
  const vm = new EdgeVM({
    codeGeneration: { strings: false, wasm: false },
    extend: (context) =>
      Object.assign(context, { COMPILED: compiled, MODEL: model.origin, ...globals }),
  });
  vm.evaluate(await bundled(code));
  return vm;
}

const platform = `import ${JSON.stringify(join(edge, 'platform.js'))};`;
const withStyle = (name: string): string =>
  `${platform} import ${JSON.stringify(join(edge, `${name}.js`))};`;
const asModule = (
  file: string,
  before = '',
): string => `import * as file from ${JSON.stringify(file)};
  ${before}
  addEventListener('fetch', (event) => event.respondWith(file.default.fetch(event.request)));`;

const send =
  (vm: EdgeVM) =>
  (body: string): Promise<Response> =>
    vm.dispatchFetch('http://localhost/', { method: 'POST', body });

// vm 3 has primitives 4, as the platform's own local development does.
describe.each(['edge-vm', 'edge-vm 3'])(
  'Azion: `Azion.AI.run` inside @edge-runtime/vm and primitives 4.0.5: %s',
  (name) => {
    it('compiles nothing in there', async () => {
      const vm = await edgeVm(name, '');
      expect(() => vm.evaluate('eval("1")')).toThrow(/Code generation from strings disallowed/);
      const bytes = 'new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])';
      expect(() => vm.evaluate(`new WebAssembly.Module(${bytes})`)).toThrow(
        /disallowed by embedder/,
      );
      expect(vm.evaluate('typeof process + typeof require + typeof Worker')).toBe(
        'undefinedundefinedundefined',
      );
    });

    describe('handlers that know of nothing but Azion.AI.run', () => {
      it.each([
        ['service worker', withStyle('service_worker')],
        ['ES module', platform + asModule(join(edge, 'es_module.js'))],
        ['arguments', withStyle('arguments')],
      ])('%s', async (how, code) => {
        const ask = async (): Promise<Told> => {
          const vm = await edgeVm(name, code, {
            ARGS: { model: 'qwen-qwen25-vl-3b-instruct-awq' },
          });
          return { answers: await answersOver(send(vm)), variant: 'st-simd128', threads: 1 };
        };
        await expectSame({ runtime: titled(name, 'edge-runtime/vm'), how }, ask);
      });

      it('firewall', async () => {
        const vm = await edgeVm(name, withStyle('firewall'));
        const status = async (content: string): Promise<number> => {
          const messages = [{ role: 'user', content }];
          return (await send(vm)(JSON.stringify({ messages }))).status;
        };
        expect(await status('What is the capital of France?')).toBe(204);
        expect(await status('What is the capital of Japan?')).toBe(403);
      });

      it('get an error with name, message and status', async () => {
        const vm = await edgeVm(name, withStyle('arguments'), {
          ARGS: { model: 'nobody/nothing' },
        });
        const response = await send(vm)('{"messages": [{"role": "user", "content": "Hi"}]}');
        expect([response.status, await response.json()]).toEqual([
          404,
          { name: 'NotFoundError', message: expect.stringMatching(/nobody\/nothing/) as string },
        ]);
      });
    });

    it('examples/edge-function answers', async () => {
      const file = join(edge, 'function.js');
      const vm = await edgeVm(name, asModule(file, 'file.setUp(globalThis.MODEL);'));
      const messages = [{ role: 'user', content: 'What is the capital of France?' }];
      const response = await send(vm)(JSON.stringify({ messages }));
      expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(await response.text()).toMatch(/"content":".*data: \[DONE\]\n\n$/s);
    });
  },
);
