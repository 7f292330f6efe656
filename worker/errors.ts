// Owns what a refusal of the server looks like over HTTP: OcelliError with headers, and vLLM's body. Called by everyone
// in worker/. Surprise: the body is a superset, {object, message, type, param, code} both flat and inside `error`, since
// clients of either generation of vLLM look in one of the two places.
import { errorObject, OcelliError } from '../js/errors.ts';

/** An error that is the server's own: a status, headers such as Retry-After, FastAPI's `detail` where it has one. */
export class Refusal extends OcelliError {
  readonly headers: Record<string, string>;
  readonly detail: string | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    {
      param = null,
      headers = {},
      detail,
    }: { param?: string | null; headers?: Record<string, string>; detail?: string } = {},
  ) {
    super(status, code, message, param);
    this.headers = headers;
    this.detail = detail;
  }
}

/** Seconds to wait before asking again, as a header. */
export function retryAfter(seconds: number): Record<string, string> {
  return { 'retry-after': String(Math.max(1, Math.ceil(seconds))) };
}

/** `error` with the status that a dialect has for it, if that has another; what is no OcelliError stays as it is. */
export function respelled(error: unknown, statuses: Record<number, number>): unknown {
  if (!(error instanceof OcelliError)) return error;
  const { code, message, param } = error;
  const headers = error instanceof Refusal ? error.headers : {};
  return new Refusal(statuses[error.status] ?? error.status, code, message, { param, headers });
}

export function vllmBody(error: OcelliError): unknown {
  const plain = errorObject(error);
  const detail = error instanceof Refusal ? error.detail : undefined;
  return { object: 'error', ...plain, error: plain, ...(detail !== undefined && { detail }) };
}

export const unauthorized = (message: string): Refusal =>
  new Refusal(401, 'invalid_api_key', message, { headers: { 'www-authenticate': 'Bearer' } });

export const draining = (): Refusal =>
  new Refusal(503, 'shutting_down', 'the server is shutting down', { headers: retryAfter(1) });
