// Owns what a failure of an endpoint becomes: the OcelliError that the engine here would give, from any of the shapes that
// services answer with. Called by connection.ts, answer.ts and remote_ai.ts. Surprise: vLLM's `code` is the HTTP status
// again, so there the code is told from the status and the words.
import { OcelliError } from '../errors.ts';
import { type Fields, isFields } from '../request.ts';
import { reasonOf } from '../weights/failures.ts';

/** Nothing usable came: no connection, a cut one, an answer that is none. */
export const connectionLost = (where: string, cause: unknown): OcelliError =>
  new OcelliError(502, 'connection_lost', `${where}: ${reasonOf(cause)}`, null, cause);

export const timedOut = (where: string, what: string, ms: number): OcelliError =>
  new OcelliError(504, 'timeout', `${where}: ${what} within ${ms} ms`);

export const redirected = (where: string, status: number, to: string | null): OcelliError => {
  const target = to === null ? '' : ` to ${to}`;
  const message = `${where} redirects${target} (HTTP status ${status}); name the right address in remote.url`;
  return new OcelliError(502, 'redirected', message, 'remote.url');
};

export const invalidAnswer = (where: string, what: string, cause?: unknown): OcelliError =>
  new OcelliError(502, 'invalid_response', `${where}: ${what}`, null, cause);

/** The endpoint has no such thing. */
export const missingRoute = (what: string, where: string, status: number): OcelliError =>
  new OcelliError(
    501,
    'unsupported_feature',
    `${what} needs ${where}, which the endpoint does not have (HTTP status ${status})`,
  );

/** The text of a web page, as far as it tells anything. */
function pageText(html: string): string {
  const title = /<title[^>]*>([^<]*)/i.exec(html)?.[1]?.trim();
  const text = html
    .replace(/<(script|style)\b[\s\S]*?(<\/\1\s*>|$)/gi, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  return (title || text).slice(0, 120);
}

/** Whether `text` looks like a web page, whatever its content type says. */
export const isPage = (text: string): boolean => /^\s*<(!doctype|html|head|body|\?xml)/i.test(text);

/** The answer is a web page. */
export const pageInstead = (where: string, html: string): OcelliError =>
  invalidAnswer(where, `expected an answer, got a web page: "${pageText(html)}"`);

/** Codes for statuses whose bodies name none. */
const codes: Record<number, string> = {
  400: 'invalid_value',
  401: 'invalid_api_key',
  402: 'payment_required',
  403: 'access_denied',
  404: 'not_found',
  405: 'method_not_allowed',
  408: 'timeout',
  413: 'request_too_large',
  415: 'unsupported_media_type',
  422: 'invalid_value',
  429: 'rate_limit_exceeded',
  500: 'internal_error',
  503: 'not_ready',
  504: 'timeout',
};

function codeOf(status: number, message: string): string {
  if (status === 400 && /maximum context length/i.test(message)) return 'context_length_exceeded';
  if (status === 404 && /\bmodel\b/i.test(message)) return 'model_not_found';
  return codes[status] ?? (status >= 500 ? 'internal_error' : 'invalid_value');
}

const text = (value: unknown): string | null =>
  typeof value === 'string' && value.trim() !== '' ? value : null;

/** FastAPI's `detail`: words, or a list of what is wrong where. */
function detailText(detail: unknown): string | null {
  if (!Array.isArray(detail)) return text(detail);
  const all = detail.filter(isFields).map(({ loc, msg }) => {
    const place = Array.isArray(loc) ? `${loc.join('.')}: ` : '';
    return place + String(msg);
  });
  return all.length > 0 ? all.join('; ') : null;
}

/** What of a body describes the failure: {error: {...}}, {error: "..."}, {errors: [...]}, {object: "error", ...} or {detail}. */
function described(body: unknown): Fields | null {
  if (!isFields(body)) return text(body) === null ? null : { message: body };
  const { error, errors, detail } = body;
  if (isFields(error)) return error;
  if (text(error) !== null) return { ...body, message: body['error_description'] ?? error };
  if (Array.isArray(errors) && isFields(errors[0])) return errors[0];
  const words = detailText(detail);
  if (words !== null) return { ...body, message: words };
  return text(body['message']) === null ? null : body;
}

/** Whether a body is nothing but the description of a failure. */
export function isFailure(body: unknown): body is Fields {
  if (!isFields(body)) return false;
  const { object, error, errors } = body;
  return (
    object === 'error' || (error ?? null) !== null || (Array.isArray(errors) && errors.length > 0)
  );
}

const isStatus = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 400 && value <= 599;

/** Seconds that the body itself asks to wait. */
export function waitAsked(body: unknown): number {
  const seconds = described(body)?.['retry_after_s'];
  return typeof seconds === 'number' && seconds > 0 ? seconds : 0;
}

/**
 * The error of a parsed body. `status` is that of the answer; inside a stream, where it says nothing, null. `given`: the
 * code, where the answer has it beside the body, as an ocelli worker's has.
 */
export function errorOf(
  where: string,
  status: number | null,
  body: unknown,
  given: string | null = null,
): OcelliError {
  const told = described(body) ?? {};
  const { code, param } = told;
  const inside = [code, told['status'], told['status_code'], Number(code)].find(isStatus);
  const known = status ?? inside ?? 500;
  const message = text(told['message']) ?? `${where} answers with HTTP status ${known}`;
  const named = typeof code === 'string' && !/^\d+$/.test(code) ? code : null;
  return new OcelliError(
    known,
    given ?? named ?? codeOf(known, message),
    message,
    text(param) ?? text(told['parameter']),
  );
}

/** The error of an answer whose status is no success, from its body's text. */
export function errorOfAnswer(
  where: string,
  status: number,
  body: string,
  given: string | null,
): OcelliError {
  try {
    return errorOf(where, status, JSON.parse(body), given);
  } catch {
    const words = isPage(body) ? pageText(body) : body.trim().slice(0, 200);
    const message = `${where} answers with HTTP status ${status}${words && `: ${words}`}`;
    return new OcelliError(status, codeOf(status, words), message);
  }
}
