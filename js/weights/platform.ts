// Owns what hosts allow a download: how many transfers at a time, how many requests in all. Called by download_options.ts and hash.ts. Surprise:
// an edge isolate is told by what it lacks, since there is no list of them: no Node, no page, no workers.
import { isNode, isWorkerd } from '../host.ts';

export interface PlatformLimits {
  /** Shards on their way at a time. */
  parallel: number;
  /** Requests in all. */
  requestsMax: number;
}

/** An isolate at the edge: little memory, and a count of its requests. */
export function isEdge(): boolean {
  return isWorkerd || (!isNode && typeof document !== 'object' && typeof Worker !== 'function');
}

/** Six connections are what browsers have for a server and edge isolates for everything; those also count requests. */
export function platformLimits(): PlatformLimits {
  return { parallel: 6, requestsMax: isEdge() ? 50 : Infinity };
}

/** Whether a request may carry more than the plainest headers: across origins a page would first have to ask for it. */
export function mayAddHeaders(url: URL): boolean {
  const { location } = globalThis as { location?: Location };
  return typeof location !== 'object' || location.origin === url.origin;
}
