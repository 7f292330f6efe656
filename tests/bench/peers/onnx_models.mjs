// Owns the 3B text model as ONNX graphs of random weights: as transformers.js runs it by default (int8, quantised as it goes)
// and with 4 bits (MatMulNBits). Called by ort.mjs. Surprise: it begins behind the embedding, which costs no time, and its
// head sees the last row only.
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { component, root } from '../../../tools/setup/io.mjs';
import { text } from './gguf_models.mjs';
import { model, node, outerTensor, tensor } from './onnx.mjs';

const block = 32;
const partBytes = 512 << 20;
const positions = 4096;
const { hidden, ffn, heads, kvHeads, vocab } = text;
const headSize = hidden / heads;
const epsilon = { float: 1e-6 };

/** Prime numbers of bytes: rows differ. */
const noise = randomBytes(1048573);

function randomBytes(count) {
  let state = 1;
  return Buffer.from(
    Array.from({ length: count }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    }),
  );
}

const floats = (values) => Buffer.from(Float32Array.from(values).buffer);

/** Collects a graph; large tensors go to files beside it. */
class Graph {
  nodes = [];
  tensors = [];
  folder;
  parts = [];
  part = null;

  constructor(folder) {
    this.folder = folder;
  }

  add(operator, inputs, attributes, more = []) {
    const name = `t${this.nodes.length}`;
    this.nodes.push(node(operator, inputs, [name, ...more], attributes));
    return name;
  }

  small(name, type, shape, content) {
    this.tensors.push(tensor(name, type, shape, content));
    return name;
  }

  /** A tensor of `length` bytes, repetitions of `content`. */
  large(name, type, shape, length, content) {
    if (!this.part || this.part.used + length > partBytes) {
      this.close();
      const location = `weights-${this.parts.length}.bin`;
      this.parts.push(location);
      this.part = { location, used: 0, file: openSync(join(this.folder, location), 'w') };
    }
    const { location, file, used: offset } = this.part;
    for (let done = 0; done < length; done += content.length)
      writeSync(file, content, 0, Math.min(content.length, length - done));
    this.part.used += length;
    this.tensors.push(outerTensor(name, type, shape, { location, offset, length }));
    return name;
  }

  close() {
    if (this.part) closeSync(this.part.file);
    this.part = null;
  }
}

/** Bytes 0 to 255 times this have deviation 1 / sqrt(width). */
const step = (width, deviation) => 1 / (deviation * Math.sqrt(width));

/** A product with int8 weights; what it multiplies is quantised before, once for all that share it. */
function int8Linear(graph, quantised, name, width, rows) {
  const weights = graph.large(`${name}.w`, 'i8', [width, rows], width * rows, noise);
  const scale = graph.small(`${name}.s`, 'f32', [], floats([step(width, 73.9)]));
  const zero = graph.small(`${name}.z`, 'i8', [], Buffer.of(0));
  const [values, factor, point] = quantised;
  const sums = graph.add('MatMulInteger', [values, weights, point, zero]);
  const factors = graph.add('Mul', [factor, scale]);
  return graph.add('Mul', [graph.add('Cast', [sums], { to: 1 }), factors]);
}

function int8Input(graph, rows) {
  const more = [`q${graph.nodes.length}.s`, `q${graph.nodes.length}.z`];
  return [graph.add('DynamicQuantizeLinear', [rows], {}, more), ...more];
}

function int4Linear(graph, rows, name, width, outputs) {
  const groups = width / block;
  const bytes = (width * outputs) / 2;
  const shape = [outputs, groups, block / 2];
  const weights = graph.large(`${name}.w`, 'u8', shape, bytes, noise);
  const scales = outputs * groups;
  const content = floats(new Array(1031).fill(step(width, 4.6)));
  const scale = graph.large(`${name}.s`, 'f32', [scales], 4 * scales, content);
  const attributes = { K: width, N: outputs, bits: 4, block_size: block, accuracy_level: 4 };
  return graph.add('com.microsoft:MatMulNBits', [rows, weights, scale], attributes);
}

const kinds = {
  int8: { input: int8Input, linear: int8Linear },
  int4: { input: (_, rows) => rows, linear: int4Linear },
};

function build(folder, kind, layers) {
  const graph = new Graph(folder);
  const { input, linear } = kinds[kind];
  const width = headSize * kvHeads;
  const ones = graph.small('ones', 'f32', [hidden], floats(new Array(hidden).fill(1)));
  const angles = Array.from({ length: (positions * headSize) / 2 }, (_, i) => {
    const [position, pair] = [Math.floor(i / (headSize / 2)), i % (headSize / 2)];
    return position * 1e6 ** ((-2 * pair) / headSize);
  });
  const turns = [positions, headSize / 2];
  const cos = graph.small('cos', 'f32', turns, floats(angles.map(Math.cos)));
  const sin = graph.small('sin', 'f32', turns, floats(angles.map(Math.sin)));
  const norm = (rows) => {
    const attributes = { axis: -1, epsilon, stash_type: 1 };
    return graph.add('SimplifiedLayerNormalization', [rows, ones], attributes);
  };
  const caches = ['k', 'v'].flatMap((part) =>
    Array.from({ length: layers }, (_, i) => `${part}.${i}`),
  );
  let rows = 'hidden';
  for (let i = 0; i < layers; i++) {
    const seen = input(graph, norm(rows));
    const part = (name, size) => {
      const biases = graph.small(
        `${i}.${name}.b`,
        'f32',
        [size],
        floats(new Array(size).fill(0.01)),
      );
      return graph.add('Add', [linear(graph, seen, `${i}.${name}`, hidden, size), biases]);
    };
    const parts = [part('q', hidden), part('k', width), part('v', width)];
    const attributes = { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1 };
    const cached = [`past.k.${i}`, `past.v.${i}`, 'last', 'total', cos, sin];
    const kept = [`present.k.${i}`, `present.v.${i}`];
    const operator = 'com.microsoft:GroupQueryAttention';
    const mixed = graph.add(operator, [...parts, ...cached], attributes, kept);
    const out = linear(graph, input(graph, mixed), `${i}.o`, hidden, hidden);
    rows = graph.add('Add', [rows, out]);
    const wide = input(graph, norm(rows));
    const gate = linear(graph, wide, `${i}.gate`, hidden, ffn);
    const up = linear(graph, wide, `${i}.up`, hidden, ffn);
    const open = graph.add('Mul', [gate, graph.add('Sigmoid', [gate])]);
    const product = input(graph, graph.add('Mul', [open, up]));
    rows = graph.add('Add', [rows, linear(graph, product, `${i}.down`, ffn, hidden)]);
  }
  const minusOne = graph.small('minus one', 'i64', [], Buffer.alloc(8, 255));
  const last = graph.add('Gather', [rows, minusOne], { axis: 1 });
  const logits = linear(graph, input(graph, norm(last)), 'head', hidden, vocab);
  graph.nodes.push(node('Identity', [logits], ['logits']));
  graph.close();
  const cache = (start, size) => (name) => {
    return { name: `${start}.${name}`, type: 'f32', shape: [1, kvHeads, size, headSize] };
  };
  const inputs = [
    { name: 'hidden', type: 'f32', shape: [1, 'T', hidden] },
    { name: 'last', type: 'i32', shape: [1] },
    { name: 'total', type: 'i32', shape: [] },
    ...caches.map(cache('past', 'P')),
  ];
  const outputs = [
    { name: 'logits', type: 'f32', shape: [1, vocab] },
    ...caches.map(cache('present', 'S')),
  ];
  const made = model({ nodes: graph.nodes, tensors: graph.tensors, inputs, outputs });
  writeFileSync(join(folder, 'model.onnx'), made);
  const about = { layers, hidden, kvHeads, headSize, parts: graph.parts };
  writeFileSync(join(folder, 'about.json'), JSON.stringify(about));
}

/** The folder with model.onnx, its weights-N.bin and about.json; `kind` is int8 or int4. */
export function onnxModel(kind, layers = text.layers) {
  const key = { kind, layers, text, layout: 1 };
  const folder = join(root, 'build/bench/peers');
  return component(folder, `onnx-${kind}`, key, `ONNX model, ${kind}`, (made) =>
    build(made, kind, layers),
  );
}
