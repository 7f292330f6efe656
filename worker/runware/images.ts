// Owns images that tasks bring, in their four spellings: a URL, a data URI, bare base64, the UUID of an uploaded one. Called by
// caption.ts and the dialect. Surprise: an uploaded image is known to whoever knows its UUID, 122 random bits: its URL has to
// work for those who have no key.
import { imageBytes, mediaDefaults } from '../../js/media.ts';
import type { WorkerContext } from '../context.ts';
import { refuse } from './errors.ts';
import { isUUID, type UploadTask } from './tasks.ts';

const path = '/v1/images/';
export const imageRoute = `${path}:id`;

type Needs = Pick<WorkerContext, 'store' | 'clock' | 'limits' | 'outbound'>;

/** The image as a chat completion takes it: an http(s) or data URL. `name` is what errors call it. */
export async function imageUrl(context: Needs, image: string, name: string): Promise<string> {
  const id = uploadedId(image);
  if (id) {
    const kept = await context.store.get('image', '', id);
    if (!kept) throw refuse('invalidImage', `${name}: there is no image ${id}`, name);
    return dataUrl(kept.bytes);
  }
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(image)?.[1]?.toLowerCase();
  if (scheme === undefined) return `data:;base64,${image}`;
  if (['http', 'https', 'data'].includes(scheme)) return image;
  throw refuse('invalidImage', `${name}: ${scheme}: is not http:, https: or data:`, name);
}

/** The id that a UUID or an imageURL of ours names. */
function uploadedId(image: string): string | undefined {
  const at = /^https?:/i.test(image) ? image.lastIndexOf(path) : -path.length;
  const id = image.slice(at + path.length);
  return isUUID(id) ? id.toLowerCase() : undefined;
}

function dataUrl(bytes: Uint8Array): string {
  let binary = '';
  for (let i = 0; i < bytes.length; i += 0x8000)
    binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return `data:${typeOf(bytes)};base64,${btoa(binary)}`;
}

/** The media type that the bytes themselves say. */
export function typeOf(bytes: Uint8Array): string {
  const head = String.fromCharCode(...bytes.subarray(0, 12));
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (head.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (/^GIF8[79]a/.test(head)) return 'image/gif';
  if (/^RIFF[^]{4}WEBP/.test(head)) return 'image/webp';
  if (head.startsWith('BM')) return 'image/bmp';
  return 'application/octet-stream';
}

/** Keeps the image of an imageUpload task; what its reply says of it. */
export async function upload(
  context: Needs,
  { image, ttl }: UploadTask,
  origin: string,
  signal: AbortSignal,
): Promise<object> {
  const { store, clock, limits, outbound } = context;
  const bytes = await imageBytes(await imageUrl(context, image, 'image'), 'image', {
    ...{ ...mediaDefaults, fetch: outbound, fileImages: false, signal },
    imageBytesMax: Math.min(mediaDefaults.imageBytesMax, limits.bodyBytesMax),
  });
  if (!typeOf(bytes).startsWith('image/'))
    throw refuse('invalidImage', 'image: it is no PNG, JPEG, WebP, GIF or BMP', 'image');
  const id = crypto.randomUUID();
  const expires = clock() + (ttl ? ttl * 1000 : limits.keepMs);
  await store.put({ kind: 'image', owner: '', id, open: false, expires, bytes });
  return { imageUUID: id, imageURL: `${origin}${path}${id}` };
}
