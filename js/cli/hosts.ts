// Owns hosts and origins of a command line, spelled as URLs and browsers spell them, so that comparing texts is enough
// afterwards. Called by options.ts, which refuses what is none, and serve.ts.

/** A host's name or address without brackets, port or the dot of its root; null for anything else. */
export function hostIn(text: string): string | null {
  const url = `http://${text.includes(':') && !text.startsWith('[') ? `[${text}]` : text}/`;
  if (!/^[^\s/?#@\\]+$/.test(text) || /\]:\d*$/.test(text) || !URL.canParse(url)) return null;
  return new URL(url).hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '') || null;
}

/** The origin of pages, "*" for all; null for anything else, such as a URL with a path, which no browser sends. */
export function originIn(text: string): string | null {
  if (text === '*') return text;
  if (!/^[a-z][a-z\d+.-]*:\/\/[^\s/?#@\\]+$/i.test(text) || !URL.canParse(text)) return null;
  const { origin } = new URL(text);
  // An extension's is one that only its browser knows.
  return origin === 'null' ? text : origin;
}
