// Owns the peer that Node programs use: node-llama-cpp with its prebuilt library. Called by peers.mjs. Surprise: the package
// carries a library for each kind of CPU and takes the best that runs here, with AMX where there is AMX.
import { join } from 'node:path';
import { SetupError, root } from '../../../tools/setup/io.mjs';
import { npmInstalled, pinned } from './fetch.mjs';
import { textModel } from './gguf_models.mjs';
import { vocabulary } from './llama_cpp.mjs';
import { jsonLines, outputOf } from './process.mjs';

const packageName = 'node-llama-cpp';

async function setUp() {
  const library = { x64: 'linux-x64', arm64: 'linux-arm64' }[process.arch];
  if (!library) throw new SetupError(`there is no prebuilt library for ${process.arch}`);
  const folder = await npmInstalled([packageName, `@node-llama-cpp/${library}`]);
  const entry = join(folder, 'node_modules', packageName, 'dist/index.js');
  const [model] = await textModel(36, await vocabulary());
  const program = join(root, 'tests/bench/peers/node_llama_cpp_run.mjs');
  const run = async ({ what, threads, sizes, node }) => {
    const given = JSON.stringify({ entry, model, threads, ...sizes });
    const { out } = await outputOf(node, [program, given]);
    const [figures] = jsonLines(out);
    return Object.entries(figures).filter(([name]) => what.includes(name));
  };
  return { run };
}

export const nodeLlamaCpp = {
  name: packageName,
  note: 'native, prebuilt, Q4_0',
  host: 'node',
  tiers: ['relaxed', 'relaxed-256'],
  what: ['decode', 'prompt'],
  sizes: { prompt: 512, new: 32, batch: 8, image: 896 },
  version: () => pinned('npm', packageName),
  setUp,
};
