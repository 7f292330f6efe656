// Owns what a rejection looks like: an Error with status, code, type and param, built from the core's last error or
// from a check made here. Called by everyone. Surprise: `name` equals `type`, since callers of AI.run print err.name.

/** What ocelli_last_error() says, and what an event of type "error" carries. */
export interface CoreError {
  status: number;
  code: string;
  http: number;
  message: string;
  param: string | null;
}

/** A failure with the fields of an OpenAI-style error. `status` is the HTTP status a server answers with. */
export class OcelliError extends Error {
  readonly status: number;
  /** Stable and machine-readable, e.g. "context_length_exceeded". */
  readonly code: string;
  /** e.g. "BadRequestError". */
  readonly type: string;
  readonly param: string | null;

  constructor(
    status: number,
    code: string,
    message: string,
    param: string | null = null,
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.code = code;
    this.type = typeOfStatus(status);
    this.param = param;
    this.name = this.type;
  }
}

function typeOfStatus(status: number): string {
  switch (status) {
    case 401:
      return 'AuthenticationError';
    case 403:
      return 'PermissionDeniedError';
    case 404:
      return 'NotFoundError';
    case 429:
      return 'RateLimitError';
    default:
      return status >= 500 ? 'InternalServerError' : 'BadRequestError';
  }
}

export function badRequest(
  code: string,
  message: string,
  param: string | null = null,
  cause?: unknown,
): OcelliError {
  return new OcelliError(400, code, message, param, cause);
}

export function modelNotFound(model: string): OcelliError {
  return new OcelliError(404, 'model_not_found', `The model \`${model}\` does not exist.`, 'model');
}

/** The engine trapped or its thread died: our bug. What was pending is lost, the next run opens a fresh engine. */
export function engineCrashed(cause: unknown): OcelliError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new OcelliError(500, 'engine_crashed', `the engine stopped: ${message}`, null, cause);
}

export function fromCore(error: CoreError, where = ''): OcelliError {
  return new OcelliError(error.http, error.code, where + error.message, error.param);
}

/** `error` with the part of the request that it is about; what is no fault of a request stays as it is. */
export function inPart(error: unknown, path: string): unknown {
  if (!(error instanceof OcelliError) || error.status >= 500) return error;
  const { status, code, message, cause } = error;
  return new OcelliError(status, code, `${path}: ${message}`, path, cause);
}

/** The error as data, to cross a thread; fromPlain() makes it an OcelliError again. */
export type PlainError = Pick<OcelliError, 'status' | 'code' | 'message' | 'param'>;

export function toPlain(error: unknown): PlainError {
  if (error instanceof OcelliError) {
    return { status: error.status, code: error.code, message: error.message, param: error.param };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { status: 500, code: 'internal_error', message, param: null };
}

export function fromPlain(error: PlainError): OcelliError {
  return new OcelliError(error.status, error.code, error.message, error.param);
}

/** The `error` object of an HTTP body or of an SSE event: vLLM's, with the status as its code. */
export function errorObject(error: unknown): {
  message: string;
  type: string;
  param: string | null;
  code: number;
} {
  const known = error instanceof OcelliError ? error : fromPlain(toPlain(error));
  return { message: known.message, type: known.type, param: known.param, code: known.status };
}
