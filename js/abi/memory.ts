// Owns looking into the module's memory: views are made anew after every growth, addresses are unsigned. Called by
// calls.ts alone. Surprise: text is copied before decoding, since TextDecoder refuses shared memory in browsers.

export interface Memory {
  /** All there is. */
  bytes(): number;
  /** The bytes at [address, address + length), valid until memory grows. */
  view(address: number, length: number): Uint8Array;
  /** A copy of them. */
  copy(address: number, length: number): Uint8Array<ArrayBuffer>;
  text(address: number, length: number): string;
  u32(address: number): number;
}

const decoder = new TextDecoder();

/** `buffer` returns the current buffer; it is asked each time. */
export function createMemory(buffer: () => ArrayBufferLike): Memory {
  let bytes = new Uint8Array(buffer());
  const all = (): Uint8Array => {
    const current = buffer();
    if (bytes.buffer !== current || bytes.length !== current.byteLength)
      bytes = new Uint8Array(current);
    return bytes;
  };
  const view = (address: number, length: number): Uint8Array => {
    const start = address >>> 0;
    return all().subarray(start, start + (length >>> 0));
  };
  const copy = (address: number, length: number): Uint8Array<ArrayBuffer> =>
    new Uint8Array(view(address, length));
  return {
    bytes: () => buffer().byteLength,
    view,
    copy,
    text: (address, length) => decoder.decode(copy(address, length)),
    u32: (address) => {
      const [a = 0, b = 0, c = 0, d = 0] = view(address, 4);
      return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
    },
  };
}
