// Owns `ocelli pull`: a model from a URL into the cache. Called by main.ts. Surprise: an interrupt is no loss: what has come
// stays, and the next pull goes on there.
import { pull } from '../weights/pull.ts';
import type { HeaderMap } from '../weights/download_options.ts';
import { type Given, UsageError } from './arguments.ts';
import { progressLine } from './io.ts';
import { stopSignal } from './stop.ts';

export async function pullCommand(given: Given): Promise<number> {
  const [url = ''] = given.operands;
  if (!/^https?:\/\//i.test(url))
    throw new UsageError(`${JSON.stringify(url)} is no http(s) URL; a folder needs no pull`);
  const sha256 = given.text('sha256');
  const parallel = given.number('parallel');
  const directory = given.text('cache');
  const pulled = await pull(url, {
    mirrors: given.texts('mirror'),
    headers: headersOf(given.texts('header')),
    signal: stopSignal(),
    ...(sha256 !== undefined && { manifestSha256: sha256 }),
    ...(parallel !== undefined && { parallel }),
    ...(directory !== undefined && { cache: { directory } }),
    ...(!given.flag('quiet') && { onProgress: progressLine() }),
  });
  process.stdout.write(`${JSON.stringify(pulled)}\n`);
  return 0;
}

function headersOf(given: readonly string[]): HeaderMap {
  const headers: HeaderMap = {};
  for (const one of given) {
    const [, name, value] = /^([^\s:]+):\s*(.*)$/.exec(one) ?? [];
    // Its value may be a secret.
    if (name === undefined || value === undefined)
      throw new UsageError('a --header must be NAME:VALUE');
    headers[name] = value;
  }
  return headers;
}
