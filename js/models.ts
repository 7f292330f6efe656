// Owns which model ids a request may name: THE table of aliases. Called by ai.ts. Surprise: every alias means "the
// loaded model", whichever that is, so that a program written for the hosted service also runs on the demo model.
import { modelNotFound } from './errors.ts';

/** Ids under which hosted services offer Qwen2.5-VL-3B. */
export const modelAliases: readonly string[] = [
  'qwen-qwen25-vl-3b-instruct-awq',
  'Qwen/Qwen2.5-VL-3B-Instruct-AWQ',
  'Qwen/Qwen2.5-VL-3B-Instruct',
  'runware:152@1',
  'qwen2p5-vl-3b-instruct',
];

/**
 * The id to echo for a requested one: itself, or `loaded` (the manifest's name) for null and "".
 * `more` are further ids, or 'any'. Throws a NotFoundError for an unknown id.
 */
export function resolveModel(
  requested: unknown,
  loaded: string,
  more: readonly string[] | 'any',
): string {
  if (requested === undefined || requested === null || requested === '') return loaded;
  const id = String(requested);
  if (more === 'any' || id === loaded || modelAliases.includes(id) || more.includes(id)) return id;
  throw modelNotFound(id);
}
