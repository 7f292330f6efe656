// Owns what differs between hosts: where the package lies, reading a file or a URL, giving way to messages. Called by
// abi/, weights/, thread/ and request.ts. Surprise: Node's modules are imported by a computed name, when first needed,
// so that nothing Node-only is loaded in a browser or an edge isolate and bundlers leave the import alone.

/**
 * workerd, which ends everything that a request has begun when that request ends: nothing may be shared by two. It may have
 * Node's modules too, as its compatibility date says, with a file system that forgets: it counts as what it is without them.
 */
export const isWorkerd: boolean =
  typeof navigator === 'object' && navigator.userAgent === 'Cloudflare-Workers';

/** True in Node and in hosts that offer Node's modules. */
export const isNode: boolean =
  !isWorkerd &&
  typeof process === 'object' &&
  typeof process.versions?.node === 'string' &&
  process.versions.node !== '';

// A bundle for an edge isolate may have no URL of its own; then nothing can lie beside it either.
const here: string = import.meta.url || 'file:///js/host.js';

/** Whether this very file runs as TypeScript source (tests, Node with type stripping) and not as built JavaScript. */
const fromSource = here.endsWith('.ts');

/** The package's root folder: above js/, or above build/js/. */
export let packageRoot: URL = new URL(fromSource ? '../' : '../../', here);

/**
 * A thread's script. From source it is the built one: a Worker cannot be given TypeScript. Not of import.meta.url itself:
 * bundlers that see that copy the file without what it imports, and webpack ends over its `await`.
 */
const scriptOf = (name: string): URL =>
  new URL(`${fromSource ? '../build/js' : '.'}/thread/${name}.js`, here);

/** The script of the engine's thread. */
export let threadScript: URL = scriptOf('entry');

/** The script of the thread that reads weights. */
export let loaderScript: URL = scriptOf('loader_entry');

/** Says where the package's root lies for a program that is bundled into one file, whose own place says nothing of it. */
export function placePackage(folder: string | URL): void {
  const page = typeof document === 'object' ? document.baseURI : undefined;
  packageRoot = new URL(String(folder).replace(/\/?$/, '/'), page ?? here);
  threadScript = new URL('build/js/thread/entry.js', packageRoot);
  loaderScript = new URL('build/js/thread/loader_entry.js', packageRoot);
}

interface NodeModules {
  'node:fs/promises': typeof import('node:fs/promises');
  'node:fs': typeof import('node:fs');
  'node:worker_threads': typeof import('node:worker_threads');
  'node:path': typeof import('node:path');
  'node:os': typeof import('node:os');
  'node:v8': typeof import('node:v8');
  'node:crypto': typeof import('node:crypto');
  'node:net': typeof import('node:net');
  'node:tls': typeof import('node:tls');
  'node:url': typeof import('node:url');
}

/** A module of Node's, or a clear error elsewhere. */
export async function nodeModule<Name extends keyof NodeModules>(
  name: Name,
): Promise<NodeModules[Name]> {
  if (!isNode) throw new Error(`${name} is needed, which this host does not have`);
  const computed: string = name;
  return (await import(/* @vite-ignore */ /* webpackIgnore: true */ computed)) as NodeModules[Name];
}

/** The bytes at a URL; `file:` ones through Node. Rejects with a plain Error that names the URL. */
export async function readUrl(url: URL, fetcher: typeof fetch = fetch): Promise<Uint8Array> {
  if (url.protocol === 'file:' && isNode) {
    const { readFile } = await nodeModule('node:fs/promises');
    return await readFile(url);
  }
  const response = await fetcher(url);
  if (!response.ok) throw new Error(`${url.href}: HTTP status ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The processors to compute with when the caller names no number: at most 8, since memory is the limit then. */
export async function processorCount(): Promise<number> {
  let count = typeof navigator === 'object' ? navigator.hardwareConcurrency : undefined;
  if (!count && isNode) count = (await nodeModule('node:os')).availableParallelism();
  return Math.max(1, Math.min(8, count ?? 1));
}

const waiting: (() => void)[] = [];
let channel: MessageChannel | undefined;

/** Lets messages that have arrived be handled, then goes on: without a timer's delay where that can be. */
export function giveWay(): Promise<void> {
  if (isWorkerd) return pause(0);
  if (typeof setImmediate === 'function') return new Promise((resolve) => setImmediate(resolve));
  if (typeof MessageChannel !== 'function') return pause(0);
  if (!channel) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()?.();
  }
  const { port2 } = channel;
  return new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(0);
  });
}

/** Milliseconds since some moment; by the wall clock where there is no better one, as in older edge VMs. */
export function clockMs(): number {
  return typeof performance === 'object' ? performance.now() : Date.now();
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Calls `work` after `ms`, unless what it returns is called before. Keeps no process alive. */
export function quietTimer(work: () => void, ms: number): () => void {
  const timer: unknown = setTimeout(work, ms);
  const { Deno: deno } = globalThis as { Deno?: { unrefTimer?(timer: unknown): void } };
  if (typeof timer === 'object') (timer as { unref?(): void }).unref?.();
  else deno?.unrefTimer?.(timer);
  return () => clearTimeout(timer as number);
}

/** `work` that another request may have begun: where that needs it, waited for with something of this one's own. */
export async function sharedWork<T>(work: Promise<T>): Promise<T> {
  let settled = !isWorkerd;
  const note = (): void => void (settled = true);
  work.then(note, note);
  while (!settled) await pause(10);
  return await work;
}
