// Owns what `ocelli run` and `ocelli chat` share: what their options add to a request, and how an answer is shown. Surprise:
// the text alone goes to standard output; its figures go to standard error.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AI } from '../ai.ts';
import type { EngineEvent } from '../thread/protocol.ts';
import type { ChatStream } from '../types.ts';
import type { Given } from './arguments.ts';

/** The model to ask where a request names none: the adapter of --adapter, loaded, or null. */
export async function adapterOf(ai: AI, given: Given): Promise<string | null> {
  const from = given.text('adapter');
  if (from === undefined) return null;
  await ai.adapters.load('adapter', from);
  return 'adapter';
}

/** The fields of a body that options stand for. */
export function fieldsOf(given: Given): Record<string, string | number> {
  const fields: [string, string | number | undefined][] = [
    ['max_tokens', given.number('max-tokens')],
    ['temperature', given.number('temperature')],
    ['seed', given.number('seed')],
    ['chat_template', given.text('template')],
  ];
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined)) as Record<
    string,
    string | number
  >;
}

/** A file's name or a URL as an image_url has it. */
export function imageUrl(name: string): string {
  return /^(https?|data|file):/i.test(name) && !existsSync(name)
    ? name
    : pathToFileURL(resolve(name)).href;
}

/** Writes a streamed answer's text and a line's end, telling `heard` each piece. */
export async function writeAnswer(
  stream: ChatStream,
  heard: (text: string) => void,
): Promise<void> {
  let last = '\n';
  try {
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta.content ?? '';
      if (text) last = text;
      heard(text);
      process.stdout.write(text);
    }
  } finally {
    if (!last.endsWith('\n')) process.stdout.write('\n');
  }
}

/** "34 prompt tokens, first token after 0.25 s, 12 tokens, 48.2 tokens/s" */
export function figures({ usage, timing }: EngineEvent & { type: 'done' }): string {
  const { first_token_ms: first, decode_ms: decode } = timing ?? {
    first_token_ms: 0,
    decode_ms: 0,
  };
  const { prompt_tokens: prompt, cached_tokens: cached, completion_tokens: tokens } = usage;
  const known = cached > 0 ? ` (${cached} known)` : '';
  const rate = tokens > 1 ? `, ${((1000 * (tokens - 1)) / decode).toFixed(1)} tokens/s` : '';
  return `${prompt} prompt tokens${known}, first token after ${(first / 1000).toFixed(2)} s, ${tokens} tokens${rate}`;
}
