// Owns how images travel to an endpoint: whatever the engine here takes becomes a data: URL that the strictest servers read;
// http(s) URLs stay, the endpoint fetches them. Called by remote_ai.ts. Surprise: data: URLs are checked too, since servers
// differ in what they make of parameters, of the other base64 alphabet and of missing types.
import { badRequest } from '../errors.ts';
import { imageBytes, type MediaOptions } from '../media.ts';
import type { Fields, ImagePlace } from '../request.ts';

/** The part to send for an image; rejects with a BadRequestError that names `path`. */
export async function imagePart(
  { from, limits }: ImagePlace,
  path: string,
  media: MediaOptions,
  inline: boolean,
): Promise<Fields> {
  const url = await imageUrl(from, path, media, inline);
  return { type: 'image_url', image_url: { url }, ...limits };
}

const plainData = /^data:image\/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]*={0,2}$/;

async function imageUrl(
  from: unknown,
  path: string,
  media: MediaOptions,
  inline: boolean,
): Promise<string> {
  const text = typeof from === 'string' ? from.trim() : from instanceof URL ? from.href : null;
  if (text !== null && !inline && /^https?:/i.test(text)) return text;
  const bytes = await imageBytes(from, path, media);
  if (text !== null && bytes.length > 0 && plainData.test(text)) return text;
  if (bytes.length === 0) throw badRequest('invalid_image', `${path}: the image has 0 bytes`, path);
  return `data:${typeOf(bytes)};base64,${base64(bytes)}`;
}

const marks: readonly [type: string, at: number, mark: string][] = [
  ['image/png', 0, '\x89PNG'],
  ['image/jpeg', 0, '\xff\xd8\xff'],
  ['image/gif', 0, 'GIF8'],
  ['image/webp', 8, 'WEBP'],
  ['image/bmp', 0, 'BM'],
];

/** The type by the first bytes; what is no known image is the endpoint's to refuse. */
function typeOf(bytes: Uint8Array): string {
  const head = String.fromCharCode(...bytes.subarray(0, 16));
  return marks.find(([, at, mark]) => head.startsWith(mark, at))?.[0] ?? 'application/octet-stream';
}

/** Bytes that are one call's arguments; a multiple of 3, so that the pieces' base64 can be joined. */
const pieceBytes = 3 << 12;

function base64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += pieceBytes)
    text += btoa(String.fromCharCode(...bytes.subarray(at, at + pieceBytes)));
  return text;
}
