// Owns breaking an engine on purpose, in the thread where it runs: in the calling one by damage(), in a worker as the script
// that is started in place of the engine's own (deaths.test.ts sees to that). Surprise: what traps and what refuses memory is
// the real core on the real WebAssembly; only an address and a limit are wrong.
import { parentPort, workerData } from 'node:worker_threads';

const real = { ...WebAssembly, Memory: WebAssembly.Memory, Instance: WebAssembly.Instance };
real.compile = WebAssembly.compile;
real.instantiate = WebAssembly.instantiate;

/** Steps before the one that gets an address outside of memory. */
const goodSteps = 3;
/** Enough to open the embedded model's tables, far too little for its weights. */
export const smallPages = 512;

/** An instance whose later steps write outside of memory. */
function trapping(instance) {
  let steps = 0;
  const { ocelli_step: step } = instance.exports;
  const wild = (engine, out) => step(engine, ++steps > goodSteps ? 0xfffffff0 | 0 : out);
  return { exports: { ...instance.exports, ocelli_step: wild } };
}

/** The module's bytes with another upper limit for its own memory. */
function limited(bytes, pages) {
  const copy = new Uint8Array(bytes);
  const number = (at) => {
    let [value, shift] = [0, 0];
    for (; ; at++, shift += 7) {
      value |= (copy[at] & 127) << shift;
      if (copy[at] < 128) return [value >>> 0, at + 1];
    }
  };
  for (let at = 8; at < copy.length; ) {
    const [size, start] = number(at + 1);
    if (copy[at] === 5) {
      const [least, max] = number(start + 2); // one memory, with a limit
      const [, end] = number(max);
      if (copy[start + 1] !== 1 || end - max !== 3 || least > pages)
        throw new Error('another memory');
      copy.set([(pages & 127) | 128, ((pages >> 7) & 127) | 128, pages >> 14], max);
    }
    at = start + size;
  }
  return copy;
}

const kinds = {
  none: {},
  trap: {
    // Called with `new`, which gives what is returned.
    Instance: function Instance(module, imports) {
      return trapping(new real.Instance(module, imports));
    },
    instantiate: async (module, imports) => trapping(await real.instantiate(module, imports)),
  },
  small: {
    Memory: class extends real.Memory {
      constructor(options) {
        super({ ...options, maximum: smallPages });
      }
    },
    // Threaded modules are given their memory.
    async compile(bytes) {
      const module = await real.compile(bytes);
      const own = WebAssembly.Module.imports(module).length === 0;
      return own ? await real.compile(limited(bytes, smallPages)) : module;
    },
  },
};

/** Damages WebAssembly in this thread, or repairs it ('none'). */
export function damage(kind) {
  Object.assign(WebAssembly, { ...real, ...kinds[kind] });
}

if (workerData?.script) {
  damage(workerData.damage);
  await import(workerData.script);
  // Not before: messages are for those who listen when they come.
  parentPort.on('message', ({ end }) => {
    if (end === 'exit') process.exit(7);
    if (end === 'throw') throw new Error('out of the blue');
  });
}
