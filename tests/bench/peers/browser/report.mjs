// Owns what a benchmark page tells the server that started it: progress, then a result or a failure. Used by the pages.

/** The options that the page was opened with. */
export function optionsOf(url) {
  return JSON.parse(decodeURIComponent(new URL(url).search.slice(1)));
}

const post = (path, body) => fetch(path, { method: 'POST', body });

export const tell = (text) => post('/progress', text);

/** Runs the page's work and posts what it resolves to. */
export async function reportOf(work) {
  try {
    if (!globalThis.crossOriginIsolated) throw new Error('the page is not cross-origin isolated');
    await post('/result', JSON.stringify(await work()));
  } catch (error) {
    await post('/failure', error?.stack ?? String(error));
  }
}
