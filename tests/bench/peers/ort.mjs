// Owns the peer that transformers.js runs without a GPU: onnxruntime-web's wasm, in Node, with int8 and with 4-bit weights.
// Called by peers.mjs. Surprise: with 4 bits it unpacks all weights on every call, so that its sizes are small.
import { join } from 'node:path';
import { root } from '../../../tools/setup/io.mjs';
import { npmInstalled, pinned } from './fetch.mjs';
import { onnxModel } from './onnx_models.mjs';
import { jsonLines, outputOf } from './process.mjs';

const packageName = 'onnxruntime-web';

async function setUp(kind) {
  const packages = join(await npmInstalled([packageName]), 'node_modules');
  const runtime = join(packages, packageName, 'dist/ort.node.min.mjs');
  const folder = await onnxModel(kind);
  const program = join(root, 'tests/bench/peers/ort_run.mjs');
  const run = async ({ what, threads, sizes, node }) => {
    const given = { runtime, folder, threads, ...sizes };
    const { out } = await outputOf(node, [
      '--max-old-space-size=12000',
      program,
      JSON.stringify(given),
    ]);
    const [figures] = jsonLines(out);
    return Object.entries(figures).filter(([name]) => what.includes(name));
  };
  return { run };
}

const common = {
  host: 'node',
  tiers: ['relaxed', 'relaxed-256', 'simd128'],
  what: ['decode', 'prompt'],
  version: () => pinned('npm', packageName),
};

export const ortInt8 = {
  ...common,
  name: 'onnxruntime-web-int8',
  note: 'wasm, as transformers.js runs it',
  sizes: { prompt: 256, new: 16 },
  setUp: () => setUp('int8'),
};

export const ortInt4 = {
  ...common,
  name: 'onnxruntime-web-int4',
  note: 'wasm, MatMulNBits in blocks of 32',
  sizes: { prompt: 64, new: 3 },
  setUp: () => setUp('int4'),
};
