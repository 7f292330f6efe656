// Owns bytes that come in pieces: putting them together, and reading a body that may be too long. Called by whatever reads
// whole files and bodies, the HTTP worker too.

export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** All of `body` (null: no bytes). Longer than `bytesMax`, the rest is let go and what `tooLong` gives is thrown. */
export async function readAll(
  body: ReadableStream<Uint8Array> | null | undefined,
  bytesMax: number,
  tooLong: () => Error,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = body?.getReader();
  for (let piece = await reader?.read(); piece && !piece.done; piece = await reader?.read()) {
    length += piece.value.length;
    if (length > bytesMax) {
      await reader?.cancel().catch(() => undefined);
      throw tooLong();
    }
    pieces.push(piece.value);
  }
  return joined(pieces);
}
