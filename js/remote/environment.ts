// Owns the options that a deployment gives by its environment, so that one program runs here or at an endpoint unchanged.
// Called by azion.ts and by users. Surprise: each platform keeps its variables elsewhere, and some ask their user when one
// is read; so nothing is read until this is called.
import type { AIOptions } from '../ai.ts';

export type Environment = Record<string, unknown> | ((name: string) => unknown);

/**
 * Options from OCELLI_ENGINE, OCELLI_MODEL (a container's URL), OCELLI_REMOTE_URL, OCELLI_REMOTE_API_KEY and
 * OCELLI_REMOTE_MODEL. `environment` is what the platform hands out (a worker's `env`); else Azion.env, Deno.env or
 * process.env.
 */
export function environmentOptions(environment: Environment = here): AIOptions {
  const read = (name: string): string | null => {
    const value = typeof environment === 'function' ? environment(name) : environment[name];
    return typeof value === 'string' && value !== '' ? value : null;
  };
  const engine = read('OCELLI_ENGINE') as AIOptions['engine'] | null;
  const model = read('OCELLI_MODEL');
  const url = read('OCELLI_REMOTE_URL');
  const apiKey = read('OCELLI_REMOTE_API_KEY');
  const asked = read('OCELLI_REMOTE_MODEL');
  return {
    ...(engine && { engine }),
    ...(model && { model }),
    ...(url && { remote: { url, ...(apiKey && { apiKey }), ...(asked && { model: asked }) } }),
  };
}

interface Hosts {
  Azion?: { env?: { get?(name: string): unknown } };
  Deno?: { env?: { get(name: string): unknown }; permissions?: Permissions };
  process?: { env?: Record<string, unknown> };
}
interface Permissions {
  querySync?(what: { name: 'env'; variable: string }): { state: string };
}

function here(name: string): unknown {
  const { Azion, Deno, process } = globalThis as unknown as Hosts;
  if (Azion?.env?.get) return Azion.env.get(name);
  if (Deno?.env) {
    const state = Deno.permissions?.querySync?.({ name: 'env', variable: name }).state;
    return state === undefined || state === 'granted' ? Deno.env.get(name) : undefined;
  }
  return process?.env?.[name];
}
