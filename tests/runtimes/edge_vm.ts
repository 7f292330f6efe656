// Owns the edge VM for the suites: a program bundled into one script, evaluated where nothing is compiled. Called by
// edge_vm.test.ts and remote.test.ts. Surprise: the VM is told to compile neither text nor WebAssembly, as an edge isolate
// would be; the module is compiled outside, as the platform does.
import { build, type Plugin } from 'esbuild';
import { cpSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { found, root, runtime } from './runtime.ts';

export interface EdgeVM {
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

/** Copies the functions to beside the installed package, so that this is the one they import. */
export function placeFunctions(): void {
  cpSync(join(import.meta.dirname, 'edge'), edge, { recursive: true });
  cpSync(join(root, 'examples/edge-function'), edge, { recursive: true });
}
export const edge = join(found.project, 'edge');

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

/** `code` in a VM with `globals`. */
export async function edgeVm(name: string, code: string, globals: object = {}): Promise<EdgeVM> {
  const load = createRequire(join(runtime(name).path, 'any.js'));
  const { EdgeVM } = load('@edge-runtime/vm') as EdgeModule;
  const file = join(found.project, 'node_modules/ocelli/build/wasm/st-simd128/ocelli.wasm');
  const compiled = {
    'ocelli/wasm/st-simd128/ocelli.wasm': await WebAssembly.compile(readFileSync(file)),
  };
  const vm = new EdgeVM({
    codeGeneration: { strings: false, wasm: false },
    extend: (context) => Object.assign(context, { COMPILED: compiled, ...globals }),
  });
  vm.evaluate(await bundled(code));
  return vm;
}

export const platform = `import ${JSON.stringify(join(edge, 'platform.js'))};`;
export const withStyle = (name: string): string =>
  `${platform} import ${JSON.stringify(join(edge, `${name}.js`))};`;
export const asModule = (
  file: string,
  before = '',
): string => `import * as file from ${JSON.stringify(file)};
  ${before}
  addEventListener('fetch', (event) => event.respondWith(file.default.fetch(event.request)));`;

export const send =
  (vm: EdgeVM) =>
  (body: string): Promise<Response> =>
    vm.dispatchFetch('http://localhost/', { method: 'POST', body });
