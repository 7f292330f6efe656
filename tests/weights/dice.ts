// Chance that comes again: numbers and faults that follow from a seed alone. Used by crashes.test.ts and faults.test.ts.
// Surprise: what happens to a request follows from its file and how often that was asked for, not from when it comes, so
// a seed means the same however transfers and processes overtake each other.
import type { Fault, Request } from './faulty_server.ts';

/** Numbers that come again with the same seed. */
export function dice(seed: number): (below: number) => number {
  let state = (seed * 2654435761 + 1) >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 374761393) >>> 0;
    return Math.floor(((state ^ (state >>> 13)) >>> 0) / (2 ** 32 / below));
  };
}

/** One number of several, for dice. */
export function seedOf(...parts: (number | string)[]): number {
  let hash = 0x811c9dc5;
  for (const char of parts.join(' ')) hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  return hash;
}

export interface Trouble {
  seed: number;
  /** Of a hundred requests, how many go wrong. */
  percent: number;
  /** It sends other bytes than it should, always. */
  lies: boolean;
  /** Whether transfers may fall silent: those tests need a short patience. */
  stalls: boolean;
}

const html = { 'content-type': 'text/html; charset=utf-8' };

/** What happens to `request`; null: nothing. The name is for the count. */
export function faultOf(
  request: Request,
  size: number,
  { seed, percent, lies, stalls }: Trouble,
): { name: string; fault: Fault } | null {
  const { file, nth, path, search } = request;
  if (search === '?loop') return { name: '', fault: redirected(path) };
  const random = dice(seedOf(seed, file, nth));
  const shard = file !== 'manifest.json';
  const delayMs = random(3) === 0 ? random(12) : 0;
  const fair = { ...(delayMs > 0 && { delayMs }) };
  if (random(100) >= percent || (!shard && random(3) > 0)) {
    if (lies && shard) return { name: 'a lie', fault: { ...fair, damageAt: size >> 1 } };
    return delayMs > 0 ? { name: 'a delay', fault: fair } : null;
  }
  const some = random(size + 1);
  const passing: [string, Fault][] = [
    ['a cut', { cutAfter: some }],
    ['a cut', { cutAfter: Math.min(some, 300) }],
    ['an early end', { endAfter: some }],
    ['a damaged byte', { damageAt: random(size) }],
    ['5xx', { status: 500 + random(5) }],
    ['429', { status: 429, headers: { 'retry-after': '0' } }],
    ['503 until a date', { status: 503, headers: { 'retry-after': new Date(0).toUTCString() } }],
    ['a range ignored', { ignoreRange: true, cutAfter: some }],
    ['another range', { shiftRange: random(40) - 20, cutAfter: some }],
    ['a wrong Content-Range', { saysRange: `bytes ${random(size)}-${size - 1}/${size}` }],
    ['no sense in Content-Range', { saysRange: 'bytes all/of-it' }],
    ['another ETag and bytes', { etag: '"older"', damageAt: random(size), cutAfter: some }],
    ['no ETag', { etag: null, cutAfter: some }],
    ['a stall', stalls ? { stallAfter: Math.min(some, size - 1) } : { cutAfter: 0 }],
  ];
  const lasting: [string, Fault][] = [
    ['403', { status: 403 }],
    ['404', { status: 404 }],
    ['a web page', { headers: html }],
    ['a web page', { status: 200, headers: html, body: '<h1>Log in</h1>' }],
    ['a longer file', { extra: 1 + random(9) }],
    ['a shorter file', { status: 206, headers: { 'content-range': 'bytes 0-0/1' } }],
    ['416', { status: 416, headers: { 'content-range': `bytes */${size + 1}` } }],
    ['a redirect loop', redirected(path)],
    ['a long wait', { status: 503, headers: { 'retry-after': '3600' } }],
  ];
  const kinds = random(6) === 0 ? lasting : passing;
  const [name, fault] = kinds[random(kinds.length)] as [string, Fault];
  return { name, fault: { ...fair, ...fault } };
}

const redirected = (path: string): Fault => ({
  status: 302,
  headers: { location: `${path}?loop` },
});
