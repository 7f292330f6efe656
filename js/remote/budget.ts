// Owns what this host has for an engine: memory, and CPU time where that is counted. Called by auto.ts. Surprise: isolates
// tell nothing, so they are taken for the hosted platform of their kind, with that platform's own default limits (README
// has them and their sources); who has more says so in `limits`.
import { isNode, isWorkerd, nodeModule } from '../host.ts';
import type { HostLimits } from './options.ts';

export interface Budget {
  /** In words. */
  platform: string;
  /** What an engine may take; null: nobody says, so the memory plan's own limit counts. */
  memoryBytes: number | null;
  /** Milliseconds of computing that an invocation may take; null: not counted. */
  cpuMs: number | null;
}

/** The hosts that this is told by, or asked of; apart for tests. */
export interface HostSigns {
  isNode: boolean;
  isWorkerd: boolean;
  /** globalThis.EdgeRuntime, by which runtimes of that family are known. */
  edgeRuntime: unknown;
  hasPage: boolean;
  hasWorkers: boolean;
  /** navigator.deviceMemory in GiB. */
  deviceMemory: unknown;
  freeBytes(): Promise<number | null>;
}

export function hostSigns(): HostSigns {
  const scope = globalThis as { EdgeRuntime?: unknown; navigator?: { deviceMemory?: unknown } };
  return {
    isNode,
    isWorkerd,
    edgeRuntime: scope.EdgeRuntime,
    hasPage: typeof document === 'object',
    hasWorkers: typeof Worker === 'function',
    deviceMemory: scope.navigator?.deviceMemory,
    freeBytes,
  };
}

export async function budgetOf(signs: HostSigns, limits: HostLimits = {}): Promise<Budget> {
  const found = await platformBudget(signs);
  const { memoryBytes = found.memoryBytes, cpuMs = found.cpuMs } = limits;
  return { platform: found.platform, memoryBytes, cpuMs };
}

async function platformBudget(signs: HostSigns): Promise<Budget> {
  if (signs.isWorkerd) return { platform: 'workerd', memoryBytes: 128e6, cpuMs: 30_000 };
  if (signs.edgeRuntime === 'vercel')
    return { platform: 'Vercel edge function', memoryBytes: 128e6, cpuMs: null };
  if (signs.isNode)
    return { platform: 'server', memoryBytes: await signs.freeBytes(), cpuMs: null };
  if (typeof signs.edgeRuntime === 'string' || (!signs.hasPage && !signs.hasWorkers))
    return { platform: 'edge isolate', memoryBytes: 512e6, cpuMs: 2000 };
  // Browsers round it down and say at most 8; half of it is what one tab may hope for.
  const memory = signs.deviceMemory;
  const memoryBytes = typeof memory === 'number' ? memory * 2 ** 29 : null;
  return { platform: 'browser', memoryBytes, cpuMs: null };
}

interface Deno {
  permissions?: { querySync?(what: { name: 'sys'; kind?: string }): { state: string } };
}

/** What this process could still take. Null where the host does not say, or would first ask its user. */
async function freeBytes(): Promise<number | null> {
  const { permissions } = (globalThis as { Deno?: Deno }).Deno ?? {};
  try {
    if (permissions?.querySync?.({ name: 'sys', kind: 'systemMemoryInfo' }).state === 'prompt')
      return null;
    const here = process as { availableMemory?: () => number };
    // It knows the limits of containers; absent in Node 20 before 20.13.
    const bytes = here.availableMemory?.() ?? (await nodeModule('node:os')).freemem();
    return Number.isFinite(bytes) && bytes > 0 ? bytes : null;
  } catch {
    return null;
  }
}
