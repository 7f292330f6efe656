// Owns reading a request's body: its type, its size, its JSON. Called by the dialects. Surprise: the text is handed on beside
// the parsed value, since the core wants numbers as they were spelled.
import { readAll } from '../js/bytes.ts';
import { badRequest } from '../js/errors.ts';
import type { RouteContext, WorkerContext } from './context.ts';
import { Refusal } from './errors.ts';

export interface JsonBody {
  text: string;
  value: unknown;
}

const tooLarge = (limit: number): Refusal =>
  new Refusal(413, 'body_too_large', `the request's body is larger than ${limit} bytes`, {
    detail: 'Request Entity Too Large',
    // The rest of it is not read, so the connection cannot be used again.
    headers: { connection: 'close' },
  });

/** The bytes of a request, at most limits.bodyBytesMax. Throws a Refusal 413. */
async function readBytes(c: RouteContext, { limits }: WorkerContext): Promise<Uint8Array> {
  const limit = limits.bodyBytesMax;
  if (Number(c.req.header('content-length') ?? 0) > limit) throw tooLarge(limit);
  return await readAll(c.req.raw.body, limit, () => tooLarge(limit));
}

/** The body as JSON. Throws a Refusal 413 or 415, or a BadRequestError. */
export async function readJson(c: RouteContext, context: WorkerContext): Promise<JsonBody> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase() ?? '';
  if (type !== 'application/json' && !/^application\/[\w.-]+\+json$/.test(type)) {
    const detail = "Unsupported Media Type: Only 'application/json' is allowed";
    throw new Refusal(415, 'unsupported_media_type', detail, { detail });
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(await readBytes(c, context));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw badRequest('invalid_json', 'the request is not UTF-8 text', null, error);
  }
  try {
    return { text, value: JSON.parse(text) as unknown };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badRequest('invalid_json', `the request is not JSON: ${reason}`, null, error);
  }
}
