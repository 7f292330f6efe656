// Owns JSON whose numbers keep their spelling: 1.0 stays 1.0 and a 19-digit seed stays itself, as prompts with tools
// show them. Called by request.ts for bodies that come as text. Surprise: a number that JavaScript would spell
// differently lives as a marked string between parse and stringify; the mark is fresh each time, so no text forges it.

// Written as an unrolled loop: an alternation in it would overflow the matcher's stack on a long data URL.
const token = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export interface SpelledJson {
  value: unknown;
  /** Like JSON.stringify, with the numbers as they were spelled. */
  stringify(value: unknown): string;
}

/** Parses `text`; throws a SyntaxError like JSON.parse. */
export function parseSpelled(text: string): SpelledJson {
  JSON.parse(text);
  const mark = `number-${randomHex(16)}:`;
  const marked = text.replace(token, (found) =>
    found.startsWith('"') || String(Number(found)) === found ? found : `"${mark}${found}"`,
  );
  const restore = new RegExp(`"${mark}([^"]*)"`, 'g');
  return {
    value: JSON.parse(marked),
    stringify: (value) => JSON.stringify(value).replace(restore, '$1'),
  };
}

/** What JSON.stringify wrote, with halves of surrogate pairs, which no UTF-8 holds, as U+FFFD: a text cut in the middle of an emoji. */
export function wellFormed(text: string): string {
  if (!text.includes('\\ud')) return text;
  return text.replace(/\\(?:(ud[89a-f][0-9a-f]{2})|.)/g, (found, half) =>
    half ? '\ufffd' : found,
  );
}

/** `digits` random hexadecimal digits, also the ids of completions and tool calls. */
export function randomHex(digits: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(digits / 2));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
