// Owns gigarouter's dialect: OpenAI's chat completions with errors of its own. Called by app.ts through all.ts. Surprise: it
// has no path and no header of its own, so a request is known as gigarouter's by its key, which starts with "gr-": the
// service gives out no other, and no other service gives out those. A request without a key gets vLLM's body, where a
// client that looks for error.message and error.code finds them too.
import type { OcelliError } from '../../js/errors.ts';
import type { App, Mount } from '../context.ts';
import { Refusal } from '../errors.ts';
import { bearerOf } from './openai.ts';

export const gigarouterKey = 'gr-';

export function gigarouterBody(error: OcelliError): unknown {
  const { code, message } = error;
  const after = error instanceof Refusal ? error.headers['retry-after'] : undefined;
  return { error: { code, message, ...(after !== undefined && { retry_after_s: Number(after) }) } };
}

export const gigarouter: Mount = (app: App) => {
  app.use('*', async (c, next) => {
    if (bearerOf(c)?.startsWith(gigarouterKey)) c.set('spell', gigarouterBody);
    await next();
  });
};
