// Owns the picture that `ocelli bench --image` measures with. Called by bench.ts. Surprise: it is drawn by arithmetic and
// packed as PNG, with soft shapes and a little noise, so that it compresses about as well as a photograph.
import { crc32, deflateSync } from 'node:zlib';

/** A square PNG of `side` pixels; another one for each `seed`. */
export function testPicture(side: number, seed: number): Uint8Array {
  const row = 1 + 3 * side;
  const pixels = new Uint8Array(row * side);
  let noise = (seed * 2654435761 + 12345) >>> 0;
  for (let y = 0; y < side; y++) {
    let at = y * row; // each row begins with its filter, 0: none
    for (let x = 0; x < side; x++) {
      const u = x / side;
      const v = y / side;
      const shapes =
        Math.sin(9 * u + seed) * Math.cos(7 * v) + Math.sin(40 * (u - 0.5) * (v - 0.5));
      noise = (Math.imul(noise, 1664525) + 1013904223) >>> 0;
      const grain = (noise >>> 27) - 16;
      pixels[++at] = 128 + 50 * shapes + 60 * u + grain;
      pixels[++at] = 110 - 40 * shapes + 60 * v + grain;
      pixels[++at] = 140 + 40 * shapes * u - 50 * v + grain;
    }
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, side);
  view.setUint32(4, side);
  header.set([8, 2], 8); // eight bits, RGB
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const parts = [
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(pixels, { level: 3 })),
    chunk('IEND', new Uint8Array(0)),
  ];
  return new Uint8Array(Buffer.concat(parts));
}

function chunk(name: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
