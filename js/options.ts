// Owns THE table of what createAI may be told, and which options exclude each other. Called by ai.ts. Surprise: the ranges of
// what the core plans with are the core's to check, by its own names; inOurWords() makes those ours.
import { variants } from './abi/variants.ts';
import type { AIOptions } from './ai.ts';
import { badRequest, OcelliError } from './errors.ts';
import {
  amount,
  boolean,
  callable,
  checkForms,
  either,
  type Forms,
  integer,
  isObject,
  listOf,
  object,
  oneOf,
  text,
} from './forms.ts';
import type { HostLimits } from './remote/options.ts';
import { cacheForm } from './weights/cache/choose.ts';
import { checkDownload } from './weights/download_options.ts';

const limitForms: Forms<HostLimits> = { memoryBytes: amount, cpuMs: amount };

const isModule = (value: unknown): boolean =>
  // Not instanceof: a module may come from another realm.
  Object.prototype.toString.call(value) === '[object WebAssembly.Module]';

const isSource = (value: unknown): boolean =>
  isObject(value) &&
  ['manifest', 'shard'].every(
    (name) => typeof (value as Record<string, unknown>)[name] === 'function',
  );

/** Whether a model is named: by its folder or its URL. */
function isName(value: unknown): boolean {
  if (typeof value !== 'string' && !(value instanceof URL)) return false;
  const [, scheme] = /^([a-z][a-z\d+.-]*):\/\//i.exec(String(value)) ?? [];
  if (scheme === undefined) return value !== '';
  return /^(file|https?)$/i.test(scheme) && /^\w+:\/\/./.test(String(value));
}

const modelWords =
  'a folder, a file: or http(s) URL, or an object with the functions manifest and shard';

const forms: Forms<AIOptions> = {
  engine: oneOf('local', 'remote', 'auto'),
  remote: object,
  limits: object,
  onDecision: callable,
  model: (value) => (isName(value) || isSource(value) ? null : modelWords),
  models: either(oneOf('any'), listOf(text)),
  variant: oneOf(...variants.map(({ name }) => name)),
  wasm: (value) => (isModule(value) ? null : 'a WebAssembly.Module'),
  thread: oneOf('worker', 'inline'),
  threads: integer(1, 64),
  revectorise: boolean,
  compute: oneOf('fast', 'reference'),
  kv: oneOf('f16', 'int8'),
  guess: boolean,
  context: integer(1),
  sequencesMax: integer(1),
  imageTokensMax: integer(1),
  memoryBytesMax: integer(1),
  prefixCache: boolean,
  promptTokensDetails: boolean,
  onProgress: callable,
  download: object,
  cache: cacheForm,
  files: either(text, (value) => (value instanceof URL ? null : 'a URL')),
  fetch: callable,
  imageFetch: callable,
  fileImages: boolean,
  imageBytesMax: integer(1),
  imageTimeoutMs: integer(1),
  tokenizerOnly: boolean,
  idleUnloadMs: integer(0, 2 ** 31 - 1),
};

/** Throws a BadRequestError for the first option that is unknown, is not what it must be, or goes with none of another. */
export function checkOptions(options: AIOptions): void {
  checkForms(options, forms);
  const { download, limits, model, thread, variant, wasm } = options;
  if (limits) checkForms(limits, limitForms, 'limits.');
  if (download) checkDownload(download, 'download.');
  if (wasm && thread === 'worker')
    throw apart('thread', '"worker"', 'wasm: a given module runs in the calling thread');
  if (wasm && variant !== undefined)
    throw apart('variant', JSON.stringify(variant), 'wasm: the given module is the build');
  if (download && isSource(model))
    throw apart('download', 'given', 'a model that brings its own bytes: nothing is downloaded');
}

function apart(name: string, value: string, other: string): OcelliError {
  return badRequest('invalid_value', `${name} cannot be ${value} together with ${other}`, name);
}

/** An error of the core about one of its options, with the name that a caller knows. */
export function inOurWords(error: OcelliError): OcelliError {
  const { status, code, message, param } = error;
  const ours = param?.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  if (!param || !ours || ours === param || !Object.hasOwn(forms, ours)) return error;
  return new OcelliError(status, code, message.replaceAll(param, ours), ours, error);
}
