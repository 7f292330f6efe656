// Owns what a single-thread module may still import: the few WASI calls that a C library drags in. Called by load.ts.
// Surprise: they are honest: output goes to the console, everything else answers "not supported", and an import that
// is not listed here stops the load with its name.

const errnoBadFile = 8;
const errnoNotSupported = 58;

/** Imports for `module`; `memory` is asked once the instance exists. Throws for an import that is not known. */
export function wasiImports(
  module: WebAssembly.Module,
  memory: () => WebAssembly.Memory,
): WebAssembly.Imports {
  const decoder = new TextDecoder();
  const fdWrite = (fd: number, list: number, count: number, written: number): number => {
    if (fd !== 1 && fd !== 2) return errnoBadFile;
    const view = new DataView(memory().buffer);
    let text = '';
    let total = 0;
    for (let i = 0; i < count; i++) {
      const address = view.getUint32((list >>> 0) + 8 * i, true);
      const length = view.getUint32((list >>> 0) + 8 * i + 4, true);
      text += decoder.decode(new Uint8Array(memory().buffer, address, length).slice());
      total += length;
    }
    console.error(text.trimEnd());
    view.setUint32(written >>> 0, total, true);
    return 0;
  };
  const known: Record<string, (...values: number[]) => number> = {
    fd_write: fdWrite as (...values: number[]) => number,
    fd_close: () => errnoBadFile,
    fd_seek: () => errnoNotSupported,
    fd_fdstat_get: () => errnoNotSupported,
    proc_exit: (code = 0) => {
      throw new WebAssembly.RuntimeError(`the core ended with exit code ${code}`);
    },
  };
  const imports: WebAssembly.Imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    const provided = from === 'wasi_snapshot_preview1' ? known[name] : undefined;
    if (!provided)
      throw new Error(`the module imports ${from}.${name}, which no host of ocelli provides`);
    (imports[from] ??= {})[name] = provided;
  }
  return imports;
}
