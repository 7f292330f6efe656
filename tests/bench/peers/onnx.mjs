// Owns writing ONNX files: the few messages of its protocol buffers that a graph with external weights needs. Called by
// onnx_models.mjs. Surprise: field numbers are onnx.proto's; proto2 readers take fields in any order.

const elementTypes = { f32: 1, u8: 2, i8: 3, i32: 6, i64: 7 };

function varint(value) {
  const bytes = [];
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Buffer.from(bytes);
  }
}
const whole = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, value) => {
  const content = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
};
const message = (field, parts) => bytes(field, Buffer.concat(parts));

function attribute(name, value) {
  const head = bytes(1, name);
  if (typeof value === 'string') return message(5, [head, bytes(4, value), whole(20, 3)]);
  if (Number.isInteger(value)) return message(5, [head, whole(3, value), whole(20, 2)]);
  // { float: 1e-6 }: a fraction cannot be told from a whole number by its value.
  const single = Buffer.alloc(4);
  single.writeFloatLE(value.float);
  return message(5, [head, varint((2 << 3) | 5), single, whole(20, 1)]);
}

/** A node: its operator (with the domain in front: "com.microsoft:MatMulNBits"), inputs ('' for none), outputs. */
export function node(operator, inputs, outputs, attributes = {}) {
  const [domain, kind] = operator.includes(':') ? operator.split(':') : ['', operator];
  return message(1, [
    ...inputs.map((name) => bytes(1, name)),
    ...outputs.map((name) => bytes(2, name)),
    bytes(4, kind),
    ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
    bytes(7, domain),
  ]);
}

/** A small tensor inside the file. */
export function tensor(name, type, shape, content) {
  const sizes = shape.map((size) => whole(1, size));
  return message(5, [...sizes, whole(2, elementTypes[type]), bytes(8, name), bytes(9, content)]);
}

/** A tensor whose bytes lie in another file. */
export function outerTensor(name, type, shape, { location, offset, length }) {
  const entries = Object.entries({ location, offset, length }).map(([what, value]) =>
    message(13, [bytes(1, what), bytes(2, String(value))]),
  );
  const sizes = shape.map((size) => whole(1, size));
  return message(5, [
    ...sizes,
    whole(2, elementTypes[type]),
    bytes(8, name),
    ...entries,
    whole(14, 1),
  ]);
}

function value(field, { name, type, shape }) {
  const sizes = shape.map((size) =>
    message(1, [typeof size === 'string' ? bytes(2, size) : whole(1, size)]),
  );
  const kind = message(1, [whole(1, elementTypes[type]), message(2, sizes)]);
  return message(field, [bytes(1, name), message(2, [kind])]);
}

/** A model as bytes. Inputs and outputs are { name, type, shape }, a size by name where it varies. */
export function model({ nodes, tensors, inputs, outputs }) {
  const graph = [
    ...nodes,
    bytes(2, 'graph'),
    ...tensors,
    ...inputs.map((one) => value(11, one)),
    ...outputs.map((one) => value(12, one)),
  ];
  const opset = (domain, version) => message(8, [bytes(1, domain), whole(2, version)]);
  return Buffer.concat([whole(1, 8), message(7, graph), opset('', 17), opset('com.microsoft', 1)]);
}
