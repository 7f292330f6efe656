// Owns a caption as a chat completion: the images first, then what is asked about them. Called by desk.ts. Surprise: errors of
// the completion speak of messages[0].content[1], which nobody here has sent, so they are put in the words of the task.
import { OcelliError } from '../../js/errors.ts';
import type { ChatCompletion } from '../../js/types.ts';
import { complete } from '../chat.ts';
import type { Facts, WorkerContext } from '../context.ts';
import { Refusal } from '../errors.ts';
import type { Caller } from '../keys.ts';
import { imageUrl } from './images.ts';
import { type CaptionTask, imagesOf, promptOf } from './tasks.ts';

/** A caption has no end of its own that one could rely on; the documented ones have about 100. */
const captionTokensMax = 1024;

/** What the reply to a caption says. Rejects with an OcelliError. */
export async function caption(
  context: WorkerContext,
  task: CaptionTask,
  caller: Caller,
  signal: AbortSignal,
  facts: Facts,
): Promise<object> {
  const images = imagesOf(task);
  const parts: object[] = [];
  for (const { image, name } of images) {
    const url = await imageUrl(context, image, name);
    parts.push({ type: 'image_url', image_url: { url } });
  }
  parts.push({ type: 'text', text: promptOf(task) });
  const value = { messages: [{ role: 'user', content: parts }], max_tokens: captionTokensMax };
  const model = task.model ?? null;
  if (model !== null) facts.model = model;
  try {
    const body = JSON.stringify(value);
    const { result } = await complete(context, { caller, model, body, value, signal, facts });
    const { choices, usage } = result as ChatCompletion;
    const cost = Math.round(usage.total_tokens * context.usdPerMillionTokens) / 1e6;
    const text = choices[0]?.message.content ?? '';
    return { text, ...(task.includeCost === true && { cost }) };
  } catch (error) {
    throw inTaskWords(
      error,
      images.map(({ name }) => name),
    );
  }
}

function inTaskWords(error: unknown, names: readonly string[]): unknown {
  if (!(error instanceof OcelliError)) return error;
  const place = /messages\[0\]\.content\[(\d+)\](\.image_url(\.url)?)?/;
  const named = (text: string): string =>
    text.replace(place, (_, index: string) => names[Number(index)] ?? 'prompt');
  const param = error.param === 'messages' ? null : error.param && named(error.param);
  const headers = error instanceof Refusal ? error.headers : {};
  return new Refusal(error.status, error.code, named(error.message), { param, headers });
}
