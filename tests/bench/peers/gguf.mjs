// Owns the GGUF file format, version 3, as far as the peers need it: reading the keys of a file and writing files of random
// weights. Called by gguf_models.mjs. Surprise: weights are one short random pattern repeated. Its length is a prime number
// of blocks, so no two rows are alike, and a speed does not depend on the values.
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { SetupError } from '../../../tools/setup/io.mjs';

const magic = 0x46554747; // "GGUF"
const alignment = 32;

/** Value types of keys: number in the file -> bytes; strings and arrays are told apart. */
const valueBytes = [1, 1, 2, 2, 4, 4, 4, 1, null, null, 8, 8, 8];
const types = { u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, text: 8, array: 9 };

/** The keys of a GGUF file as they are in it: Map of name -> bytes of type and value. */
export function rawKeys(file) {
  const bytes = readFileSync(file);
  let at = 24;
  const u32 = () => bytes.readUInt32LE((at += 4) - 4);
  const u64 = () => Number(bytes.readBigUInt64LE((at += 8) - 8));
  const value = (type) => {
    if (type === types.text) {
      const length = u64();
      at += length;
    } else if (type === types.array) {
      const [inner, count] = [u32(), u64()];
      for (let i = 0; i < count; i++) value(inner);
    } else if (valueBytes[type]) {
      at += valueBytes[type];
    } else throw new SetupError(`${file}: a key has type ${type}, known are 0 to 12`);
  };
  if (bytes.readUInt32LE(0) !== magic || bytes.readUInt32LE(4) !== 3)
    throw new SetupError(`${file} is not a GGUF file of version 3`);
  const keys = new Map();
  const count = Number(bytes.readBigUInt64LE(16));
  for (let i = 0; i < count; i++) {
    const length = u64();
    const name = bytes.toString('utf8', at, (at += length));
    const start = at;
    value(u32());
    keys.set(name, bytes.subarray(start, at));
  }
  return keys;
}

/** A number as `bytes` bytes, through one of DataView's setters. */
function number(setter, bytes, value) {
  const buffer = Buffer.alloc(bytes);
  new DataView(buffer.buffer, buffer.byteOffset)[setter](0, value, true);
  return buffer;
}
const u32 = (value) => number('setUint32', 4, value);
const u64 = (value) => number('setBigUint64', 8, BigInt(value));
const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const scalars = {
  u16: (value) => number('setUint16', 2, value),
  u32,
  i32: (value) => number('setInt32', 4, value),
  f32: (value) => number('setFloat32', 4, value),
  bool: (value) => Buffer.of(value ? 1 : 0),
  text,
};

/** Type and value of a key: key('u32', 7), key('f32', [1, 2]). */
export function key(type, value) {
  if (!Array.isArray(value)) return Buffer.concat([u32(types[type]), scalars[type](value)]);
  const head = [u32(types.array), u32(types[type]), u64(value.length)];
  return Buffer.concat([...head, ...value.map(scalars[type])]);
}

/** Tensor types: number in the file, values and bytes of a block, and how a block of deviation `scale` is drawn. */
export const tensorTypes = {
  f32: { id: 0, values: 1, bytes: 4, draw: drawF32 },
  f16: { id: 1, values: 1, bytes: 2, draw: drawF16 },
  // Scale as f16, then nibbles less 8: values of deviation 4.6.
  q4_0: { id: 2, values: 32, bytes: 18, draw: drawScaled({ at: 0, deviation: 4.6 }) },
  // 6-bit values less 32 (deviation 18.5) times 8-bit scales, which all are 16 here.
  q6_k: {
    id: 14,
    values: 256,
    bytes: 210,
    draw: drawScaled({ at: 208, deviation: 18.5 * 16, fixed: [192, 208, 16] }),
  },
};

/** One step of a generator of random numbers; its high bits are good. */
const next = (state) => (Math.imul(state, 1664525) + 1013904223) >>> 0;

function drawF32(block, state, scale, mean) {
  block.writeFloatLE(mean + scale * (state / 2 ** 31 - 1));
}

function drawF16(block, state, scale, mean) {
  block.writeUInt16LE(halfOf(mean + scale * 1.73 * (state / 2 ** 31 - 1)));
}

function drawScaled({ at, deviation, fixed: [from, to, value] = [0, 0, 0] }) {
  return (block, state, scale) => {
    for (let i = 0; i < block.length; i++) block[i] = (state = next(state)) >>> 24;
    block.fill(value, from, to);
    block.writeUInt16LE(halfOf(scale / deviation), at);
  };
}

/** The bits of a number as f16; what is too small for a normal one becomes 0. */
export function halfOf(value) {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  if (exponent <= 0) return sign;
  if (exponent >= 31) throw new RangeError(`${value} is too large for f16`);
  const rounded = (exponent << 10) + ((bits & 0x7fffff) >>> 13) + ((bits >>> 12) & 1);
  return sign | rounded;
}

const patterns = new Map();

/** About half a MiB of random blocks. */
function pattern(type, scale, mean) {
  const name = `${type} ${scale} ${mean}`;
  if (!patterns.has(name)) {
    const { bytes, draw } = tensorTypes[type];
    const blocks = bytes < 8 ? 131071 : bytes < 100 ? 32749 : 2503;
    const made = Buffer.alloc(blocks * bytes);
    let state = blocks;
    for (let at = 0; at < made.length; at += bytes)
      draw(made.subarray(at, at + bytes), (state = next(state)), scale, mean);
    patterns.set(name, made);
  }
  return patterns.get(name);
}

export function tensorBytes({ type, shape }) {
  const { values, bytes } = tensorTypes[type];
  if (shape[0] % values !== 0)
    throw new RangeError(`rows of ${shape[0]} values are no whole blocks of ${type}`);
  return (shape.reduce((product, size) => product * size, 1) / values) * bytes;
}

const padding = (length) => (alignment - (length % alignment)) % alignment;

/**
 * Writes a file. `keys` maps names to key(); a tensor is { name, type, shape, scale, mean }, its shape with the length of a
 * row first, its values of deviation `scale` around `mean` (which only f32 and f16 have).
 */
export function writeGguf(file, keys, tensors) {
  let offset = 0;
  const heads = tensors.map((tensor) => {
    const { name, type, shape } = tensor;
    const place = u64(offset);
    const bytes = tensorBytes(tensor);
    offset += bytes + padding(bytes);
    const sizes = [u32(shape.length), ...shape.map(u64)];
    return Buffer.concat([text(name), ...sizes, u32(tensorTypes[type].id), place]);
  });
  const pairs = [...keys].flatMap(([name, value]) => [text(name), value]);
  const counts = [u32(magic), u32(3), u64(tensors.length), u64(keys.size)];
  const head = Buffer.concat([...counts, ...pairs, ...heads]);
  const out = openSync(file, 'w');
  try {
    writeSync(out, head);
    writeSync(out, Buffer.alloc(padding(head.length)));
    for (const tensor of tensors) {
      const made = pattern(tensor.type, tensor.scale ?? 0, tensor.mean ?? 0);
      const bytes = tensorBytes(tensor);
      for (let done = 0; done < bytes; done += made.length)
        writeSync(out, made, 0, Math.min(made.length, bytes - done));
      writeSync(out, Buffer.alloc(padding(bytes)));
    }
  } finally {
    closeSync(out);
  }
}
