// Owns what an error looks like in Runware's dialect: {code, message, parameter, taskType, taskUUID}, with camelCase codes of
// a verb and a field. Called by everyone in runware/. Surprise: official clients decide by the code whether to try again, so
// THE table below maps ours to the families they know; the status goes with the code, and only over HTTP.
import { OcelliError } from '../../js/errors.ts';
import { Refusal } from '../errors.ts';

export interface TaskError {
  code: string;
  message: string;
  parameter?: string;
  taskType?: string;
  taskUUID?: string;
  /** Said by getResponse of a task that failed. */
  status?: 'error';
}

/** What is known of the task when it fails; fields of any type, as they were sent. */
export interface TaskNames {
  taskType?: unknown;
  taskUUID?: unknown;
}

/** Ours -> theirs, and the HTTP status where it is another than ours. */
const table: Record<string, [code: string, status?: number]> = {
  invalid_api_key: ['invalidApiKey'],
  insufficient_credits: ['insufficientCredits'],
  rate_limit_exceeded: ['rateLimitExceeded'],
  queue_full: ['rateLimitExceeded'],
  model_not_found: ['unsupportedModel', 400],
  invalid_json: ['invalidJson'],
  body_too_large: ['maxRequestSize', 400],
  unsupported_media_type: ['invalidContentType', 400],
  invalid_image_url: ['invalidImage'],
  image_url_not_allowed: ['invalidImage'],
  // Theirs is one that clients try again.
  image_fetch_failed: ['downloadFailed', 500],
  invalid_image: ['invalidImage'],
  image_aspect_ratio: ['invalidImage'],
  image_too_large: ['invalidImage'],
  too_many_images: ['maxImages'],
  context_length_exceeded: ['maxContextLength'],
  deadline_exceeded: ['taskTimeout', 500],
  client_closed: ['taskCancelled', 404],
  shutting_down: ['serviceUnavailable'],
  store_full: ['serviceUnavailable'],
  engine_crashed: ['inferenceError'],
};

/** A refusal in this dialect's own words. */
export function refuse(
  code: string,
  message: string,
  parameter: string | null = null,
  status = 400,
): Refusal {
  return new Refusal(status, code, message, { param: parameter });
}

/** The error object, and the status and headers that go with it. */
export function taskError(
  error: unknown,
  { taskType, taskUUID }: TaskNames = {},
): { error: TaskError; status: number; headers: Record<string, string> } {
  const known =
    error instanceof OcelliError
      ? error
      : new OcelliError(500, 'internal_error', 'an internal error', null, error);
  // What is not in the table and has no underscore is in this dialect already.
  const general = known.status >= 500 ? 'internalServerError' : 'invalidRequest';
  const [code, status = known.status] = table[known.code] ?? [
    known.code.includes('_') ? general : known.code,
  ];
  return {
    error: {
      ...{ code, message: known.message },
      ...(known.param !== null && { parameter: known.param }),
      ...(typeof taskType === 'string' && { taskType }),
      ...(typeof taskUUID === 'string' && { taskUUID }),
    },
    status,
    headers: known instanceof Refusal ? known.headers : {},
  };
}
