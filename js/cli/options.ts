// Owns the options that several commands share, and the many of `ocelli serve`. Read by commands.ts.
import { variants } from '../abi/variants.ts';
import type { Option } from './arguments.ts';
import { hostIn, originIn } from './hosts.ts';

const isWord = (text: string): boolean => /^\S+$/.test(text);

export const modelOption: Option = {
  kind: 'text',
  value: 'DIR|URL',
  help: 'a container; the embedded demo model by default',
};
export const imagesOption: Option = {
  kind: 'texts',
  value: 'FILE',
  help: 'an image file or URL; may be given several times',
};
/** What an answer depends on. */
export const answerOptions: Record<string, Option> = {
  adapter: {
    kind: 'text',
    value: 'FOLDER|URL',
    help: 'a LoRA adapter (PEFT) for the language model',
  },
  system: { kind: 'text', value: 'TEXT', help: 'the system message' },
  'max-tokens': { kind: 'integer', value: 'N', least: 1, help: 'at most so many tokens' },
  temperature: {
    kind: 'number',
    value: 'T',
    least: 0,
    help: '0 always takes the likeliest token',
  },
  seed: { kind: 'integer', value: 'N', help: 'makes sampling repeatable' },
  template: {
    kind: 'text',
    value: 'NAME',
    oneOf: ['qwen', 'hermes'],
    help: 'the chat template (qwen)',
  },
};
export const engineOptions: Record<string, Option> = {
  threads: { kind: 'integer', value: 'N', least: 1, help: 'compute threads' },
  variant: {
    kind: 'text',
    value: 'NAME',
    oneOf: variants.map(({ name }) => name),
    help: 'the build of the core',
  },
  compute: {
    kind: 'text',
    value: 'HOW',
    oneOf: ['fast', 'reference'],
    help: 'int8 (default) or f32 activations',
  },
  'no-revectorise': { kind: 'flag', help: 'without 256-bit operations (Node on x64 has them)' },
  kv: { kind: 'text', value: 'FORMAT', oneOf: ['int8', 'f16'], help: 'the KV cache (f16)' },
  'no-guess': { kind: 'flag', help: 'compute no tokens before they are drawn; same answers' },
  context: { kind: 'integer', value: 'N', least: 1, help: 'tokens of prompt and answer together' },
  'no-prefix-cache': { kind: 'flag', help: 'compute each prompt anew, also where two begin alike' },
};
export const cacheOption: Option = {
  kind: 'text',
  value: 'DIR',
  help: "the cache's folder (OCELLI_CACHE, else the platform's)",
};
// What the converter writes and how it says so.
export const containerOptions: Record<string, Option> = {
  'shard-mib': {
    kind: 'integer',
    value: 'N',
    least: 1,
    most: 1024,
    help: 'data in one shard (48)',
  },
  vision: {
    kind: 'text',
    value: 'HOW',
    oneOf: ['f32', 'f16', 'int8'],
    help: 'precision of the vision tower',
  },
  embedding: {
    kind: 'text',
    value: 'HOW',
    oneOf: ['f32', 'f16', 'int8'],
    help: 'precision of the embedding',
  },
  force: { kind: 'flag', help: 'replace OUT if it is a container' },
  quiet: { kind: 'flag', help: 'no progress' },
};
export const helpOption: Option = { kind: 'flag', short: 'h', help: 'show this and end' };

export const serveOptions: Record<string, Option> = {
  host: { kind: 'text', value: 'ADDRESS', help: 'to listen at (127.0.0.1; 0.0.0.0 for all)' },
  port: {
    kind: 'integer',
    value: 'N',
    least: 0,
    most: 65535,
    help: 'to listen at (8000; 0 for any)',
  },
  name: {
    kind: 'texts',
    value: 'ID',
    help: "another id of the model; several may be given (its own and hosted services' are known)",
    form: ['text without spaces', isWord],
  },
  adapter: {
    kind: 'texts',
    value: 'NAME=FROM',
    help: 'a LoRA adapter (PEFT), a folder or URL, as a model of that name; several may be given',
  },
  'allow-adapters': {
    kind: 'flag',
    help: 'callers may load LoRA adapters from any folder or URL (/v1/load_lora_adapter)',
  },
  'api-key': {
    kind: 'texts',
    value: 'KEY',
    help: 'who may call; several may be given, also in OCELLI_API_KEYS with commas',
    form: ['text without spaces', isWord],
  },
  keys: {
    kind: 'text',
    value: 'FILE',
    help: 'JSON: [{"name", "sha256", "requestsPerMinute"?, "credits"?}]',
  },
  'new-key': { kind: 'flag', help: 'make a key, print its line for --keys, and end' },
  running: { kind: 'integer', value: 'N', least: 1, help: 'requests computed at a time (8)' },
  waiting: {
    kind: 'integer',
    value: 'N',
    least: 0,
    help: 'requests that wait (64); more are refused with 429',
  },
  deadline: {
    kind: 'integer',
    value: 'S',
    least: 0,
    help: 'seconds for a request (600; 0: any)',
  },
  drain: { kind: 'integer', value: 'S', least: 0, help: 'seconds to finish at the end (30)' },
  'body-mib': { kind: 'integer', value: 'N', least: 1, help: 'MiB of a body (64)' },
  images: { kind: 'integer', value: 'N', least: 0, help: 'images in a request (64)' },
  'image-mib': { kind: 'integer', value: 'N', least: 1, help: 'MiB of an image (64)' },
  'image-seconds': { kind: 'integer', value: 'S', least: 1, help: 'to fetch an image (15)' },
  'image-host': {
    kind: 'texts',
    value: 'HOST',
    help: 'fetch images only from there; several may be given',
    form: ['the name or address of a host', (host) => hostIn(host) !== null],
  },
  'private-images': {
    kind: 'flag',
    help: 'fetch images, and call webhooks, also at private, local and loopback addresses',
  },
  store: {
    kind: 'text',
    value: 'FILE',
    help: 'keep tasks and their results in this SQLite file (memory), through restarts',
  },
  'prompt-tokens-details': {
    kind: 'flag',
    help: 'usage tells how many tokens of a prompt were in the cache',
  },
  price: {
    kind: 'number',
    value: 'USD',
    least: 0,
    help: 'of a million tokens, as tasks with includeCost tell it (0)',
  },
  origin: {
    kind: 'texts',
    value: 'URL',
    help: 'whose pages may call (CORS; all); several may be given',
    form: ['an origin, as https://example.com is, or *', (text) => originIn(text) !== null],
  },
};
