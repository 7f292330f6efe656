// Owns the way from a chat-completions body to what the core is asked: images are collected from every spelling and
// leave a gap for their handle, all else passes through. Called by ai.ts and remote/. Surprise: fields are not validated here but in
// the core, once; only what cannot reach it is (images, streams, the signal).
import { badRequest } from './errors.ts';
import { parseSpelled, randomHex, wellFormed } from './json_text.ts';
import { imageBytes, type MediaOptions } from './media.ts';
import type { CoreRequest } from './thread/protocol.ts';
import type { ChatBody } from './types.ts';

/** A request ready for the engine, and what the answer's shape depends on. */
export interface PreparedRequest {
  core: CoreRequest;
  stream: boolean;
  includeUsage: boolean;
  continuousUsage: boolean;
  returnTokenIds: boolean;
  returnImageSizes: boolean;
  logprobs: boolean;
  /** A tool was named by tool_choice: content is then "" and never null. */
  namedTool: boolean;
  choices: number;
  /** The caller's own request_id, if any. */
  requestId: string | null;
  /** Whether its usage tells what was in the cache. */
  promptTokensDetails: boolean;
}

export type Fields = Record<string, unknown>;

/** A body's fields, and how they become JSON again. */
export interface ParsedBody {
  fields: Fields;
  stringify(value: unknown): string;
}

/** Fetches the images of a body. Rejects with a BadRequestError, or the signal's reason. */
export async function prepareRequest(
  { fields, stringify }: ParsedBody,
  media: MediaOptions,
): Promise<Omit<PreparedRequest, 'promptTokensDetails'>> {
  media.signal?.throwIfAborted();
  const requestId = requestIdOf(fields);
  const mark = `media-${randomHex(16)}:`;
  const images: Uint8Array[] = [];
  const imagePaths: string[] = [];
  await replaceImages(fields, async ({ from, limits }, path) => {
    const bytes = await imageBytes(from, path, media);
    imagePaths.push(path);
    return { type: 'image', media: `${mark}${images.push(bytes) - 1}`, ...limits };
  });
  media.signal?.throwIfAborted();
  delete fields['signal'];
  const pieces = wellFormed(stringify(fields)).split(new RegExp(`"${mark}\\d+"`));
  return {
    core: { body: pieces, images, imagePaths, dump: false },
    ...streamingOf(fields),
    returnTokenIds: fields['return_token_ids'] === true,
    returnImageSizes: fields['return_image_sizes'] === true,
    logprobs: fields['logprobs'] === true,
    namedTool: isFields(fields['tool_choice']),
    choices: typeof fields['n'] === 'number' ? fields['n'] : 1,
    requestId,
  };
}

/** The caller's id of the request; none where it is empty. */
function requestIdOf({ request_id: id }: Fields): string | null {
  if (id === undefined || id === null || id === '') return null;
  if (typeof id === 'string') return id;
  const got = JSON.stringify(id).slice(0, 60);
  throw badRequest('invalid_value', `request_id must be a string, got ${got}`, 'request_id');
}

/** How a body wants its answer. */
export function streamingOf(
  fields: Fields,
): Pick<PreparedRequest, 'stream' | 'includeUsage' | 'continuousUsage'> {
  const options = isFields(fields['stream_options']) ? fields['stream_options'] : null;
  const stream = fields['stream'] === true;
  const includeUsage = stream && options !== null && options['include_usage'] !== false;
  const continuousUsage = includeUsage && options?.['continuous_usage_stats'] === true;
  return { stream, includeUsage, continuousUsage };
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `write`, with a clear error for what JSON cannot hold: a BigInt, an object that holds itself, a million brackets. */
function writeJson(value: unknown, write: (value: unknown) => string): string {
  try {
    return write(value);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badRequest(
      'invalid_json',
      `the request cannot be written as JSON: ${reason}`,
      null,
      error,
    );
  }
}

/** `body` as JSON text keeps the spelling of its numbers. Throws a BadRequestError when it is no object. */
export function parseBody(body: ChatBody | string): ParsedBody {
  let value: unknown = body;
  let write: (value: unknown) => string = JSON.stringify;
  if (typeof body === 'string') {
    try {
      ({ value, stringify: write } = parseSpelled(body));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw badRequest('invalid_json', `the request is not JSON: ${reason}`, null, error);
    }
  }
  const stringify = (one: unknown): string => writeJson(one, write);
  if (isFields(value)) return { fields: { ...value }, stringify };
  const kind = Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
  throw badRequest('invalid_value', `the request must be an object with messages, got ${kind}`);
}

/** An image part: what it names, how, and its pixel limits. */
export interface ImagePlace {
  from: unknown;
  limits: Fields;
}

/** Puts what `make` gives for each image part of the messages in its place; parts that name nothing are skipped. */
export async function replaceImages(
  fields: Fields,
  make: (image: ImagePlace, path: string) => Promise<Fields>,
): Promise<void> {
  if (!Array.isArray(fields['messages'])) return;
  const messages: unknown[] = [];
  for (const [i, message] of (fields['messages'] as unknown[]).entries())
    messages.push(await withImages(message, `messages[${i}]`, make));
  fields['messages'] = messages;
}

async function withImages(
  message: unknown,
  path: string,
  make: (image: ImagePlace, path: string) => Promise<Fields>,
): Promise<unknown> {
  if (!isFields(message) || !Array.isArray(message['content'])) return message;
  const content: unknown[] = [];
  for (const [i, part] of (message['content'] as unknown[]).entries()) {
    const image = imageOf(part);
    if (!image) content.push(part);
    else if (image.from !== null) content.push(await make(image, `${path}.content[${i}]`));
  }
  return { ...message, content };
}

const imageTypes: readonly unknown[] = ['image', 'image_url', 'input_image'];
const textTypes: readonly unknown[] = ['text', 'input_text', 'output_text', undefined];

/** What an image part names (null: nothing, the part is skipped; undefined: that is missing) with its pixel limits; null
 *  for any other part, which the core reads or refuses. Known spellings, in this order: {image_url: {url}} or
 *  {image_url: "..."} or {image} under any type unless there is text too, {type: "image", url | data | source}. */
function imageOf(part: unknown): ImagePlace | null {
  if (!isFields(part)) return null;
  const type = part['type'] ?? undefined;
  if (textTypes.includes(type) && (part['text'] ?? undefined) !== undefined) return null;
  const limits: Fields = {};
  for (const key of ['min_pixels', 'max_pixels'])
    if (part[key] !== undefined) limits[key] = part[key];
  const named = part['image_url'] ?? part['image'] ?? undefined;
  if (named !== undefined) {
    const inside = isFields(named) && !(named instanceof URL) && 'url' in named;
    return { from: inside ? named['url'] : named, limits };
  }
  const none = 'image_url' in part || 'image' in part;
  if (!imageTypes.includes(type) && !(type === undefined && none)) return null;
  const source = part['source'];
  if (isFields(source))
    return { from: source['url'] ?? `data:;base64,${String(source['data'])}`, limits };
  const key = ['url', 'data', 'source', 'image_url', 'image'].find((name) => name in part);
  return { from: key && (part[key] ?? null), limits };
}
