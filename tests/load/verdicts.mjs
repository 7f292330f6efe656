// Owns what an answer has to look like, in each dialect, whether it is one or a refusal. Used by the clients. Each function
// gives null, or what is wrong.

const text = (value) => typeof value === 'string' && value !== '';
const shown = (value) => JSON.stringify(value)?.slice(0, 200);

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

const named = ({ message, type, param, code } = {}, status) =>
  text(message) && text(type) && (param === null || text(param)) && code === status;

/** Bodies of errors: dialect -> whether it is one. */
const errors = {
  vllm: (body, status) =>
    body.object === 'error' && named(body, status) && named(body.error, status),
  gigarouter: ({ error, ...rest }) =>
    text(error?.code) && text(error.message) && Object.keys(rest).length === 0,
  segmind: ({ error, ...rest }) => text(error) && Object.keys(rest).length === 0,
  runware: ({ errors: list }) =>
    Array.isArray(list) &&
    list.length > 0 &&
    list.every(({ code, message }) => /^[a-z]+([A-Z][a-z]*)*$/.test(code) && text(message)),
};

/** A refusal with one of `statuses`. */
export function refused(dialect, { status, headers, text: body }, statuses) {
  const value = parsed(body);
  if (!statuses.includes(status)) return `status ${status} of ${statuses}: ${body.slice(0, 200)}`;
  if (!value || !errors[dialect](value, status)) return `a refusal ${status} of ${shown(body)}`;
  if (!headers['content-type']?.startsWith('application/json')) return 'a refusal that is no JSON';
  if ([429, 503].includes(status) && !(Number(headers['retry-after']) >= 1))
    return `a ${status} without Retry-After`;
  return null;
}

const finishes = ['stop', 'length', 'tool_calls'];

/** A whole chat completion (or `object`). */
export function completed({ text: body }, object = 'chat.completion') {
  const value = parsed(body);
  const good =
    value?.object === object &&
    text(value.id) &&
    value.choices.length > 0 &&
    value.choices.every(({ finish_reason: reason }) => finishes.includes(reason)) &&
    value.usage.completion_tokens >= 1;
  return good ? null : `an answer of ${shown(body)}`;
}

/** A stream of chunks, to its end. */
export function streamed({ text: body, headers }, object = 'chat.completion.chunk') {
  const events = body.split('\n\n');
  if (!headers['content-type']?.startsWith('text/event-stream')) return 'a stream of another type';
  if (events.pop() !== '' || events.pop() !== 'data: [DONE]')
    return `a stream without an end: ${body.slice(-200)}`;
  const ended = new Map();
  for (const event of events) {
    const chunk = event.startsWith('data: ') ? parsed(event.slice(6)) : undefined;
    if (chunk?.object !== object) return `a chunk of ${event.slice(0, 200)}`;
    for (const { index, finish_reason: reason } of chunk.choices)
      ended.set(index, [...(ended.get(index) ?? []), ...(reason === null ? [] : [reason])]);
  }
  for (const reasons of ended.values())
    if (reasons.length !== 1 || !finishes.includes(reasons[0]))
      return `a choice that ends with ${shown(reasons)}`;
  return ended.size > 0 ? null : 'a stream of nothing';
}

/** What each of `tasks` was told, in one answer to them all: data or an error of its own, whose code is expected. */
export function told({ status, text: body }, tasks, codes = []) {
  const value = parsed(body);
  if (!value || (status !== 200 && !errors.runware(value)))
    return `a reply ${status} of ${shown(body)}`;
  const all = [...(value.data ?? []), ...(value.errors ?? [])];
  for (const { taskUUID } of tasks)
    if (all.filter((one) => one.taskUUID === taskUUID).length !== 1)
      return `a task that was told ${shown(body)}`;
  const [odd] = (value.errors ?? []).filter(({ code }) => !codes.includes(code));
  return odd ? `an error of ${shown(odd)}` : null;
}
