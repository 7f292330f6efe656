// Owns the npy file of f32 rows that --dump writes: version 1.0, little-endian, C order. Called by dump.ts.
// Surprise: the header is padded so that the data starts at a multiple of 64, as NumPy does.

/** The file of `data`, [rows, columns] f32 as bytes. */
export function npyFile(data: Uint8Array, rows: number, columns: number): Uint8Array {
  const start = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const padded = 64 * Math.ceil((10 + start.length + 1) / 64) - 10;
  const header = `${start.padEnd(padded - 1)}\n`;
  const file = new Uint8Array(10 + header.length + data.length);
  file.set([
    0x93,
    ...new TextEncoder().encode('NUMPY'),
    1,
    0,
    header.length & 255,
    header.length >> 8,
  ]);
  file.set(new TextEncoder().encode(header), 10);
  file.set(data, 10 + header.length);
  return file;
}
