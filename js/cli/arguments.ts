// Owns the command line: what each command takes, its help and its checks. Called by main.ts. Surprise: a wrong command
// line is a UsageError (exit status 2), everything that goes wrong later is a failure (1).
import { parseArgs } from 'node:util';

export class UsageError extends Error {}

type Kind = 'text' | 'texts' | 'integer' | 'number' | 'flag';
interface Option {
  kind: Kind;
  /** What stands for the value in the help. */
  value?: string;
  help: string;
  oneOf?: readonly string[];
  least?: number;
  short?: string;
}

export interface Command {
  usage: string;
  about: string;
  operands: { least: number; most: number };
  options: Record<string, Option>;
}

const modelOption: Option = {
  kind: 'text',
  value: 'DIR|URL',
  help: 'a container; the embedded demo model by default',
};
const engineOptions: Record<string, Option> = {
  threads: { kind: 'integer', value: 'N', least: 1, help: 'compute threads' },
  variant: {
    kind: 'text',
    value: 'NAME',
    oneOf: ['mt-relaxed', 'mt-simd128', 'st-relaxed', 'st-simd128'],
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
  context: { kind: 'integer', value: 'N', least: 1, help: 'tokens of prompt and answer together' },
};
const cacheOption: Option = {
  kind: 'text',
  value: 'DIR',
  help: "the cache's folder (OCELLI_CACHE, else the platform's)",
};
// What the converter writes and how it says so.
const containerOptions: Record<string, Option> = {
  'shard-mib': { kind: 'integer', value: 'N', least: 1, help: 'data in one shard (48)' },
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
const helpOption: Option = { kind: 'flag', short: 'h', help: 'show this and end' };

export const commands: Record<string, Command> = {
  run: {
    usage: 'ocelli run [PROMPT] [options]\n       ocelli run --request FILE|- [options]',
    about: 'Answers a prompt; the text streams to standard output.',
    operands: { least: 0, most: 1 },
    options: {
      model: modelOption,
      image: {
        kind: 'texts',
        value: 'FILE',
        help: 'an image file or URL; may be given several times',
      },
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
      request: {
        kind: 'text',
        value: 'FILE|-',
        help: 'a chat-completions body; prints the reply, SSE if "stream"',
      },
      requests: {
        kind: 'text',
        value: 'FILE|-',
        help: 'one body a line; prints one reply a line, in order',
      },
      parallel: {
        kind: 'integer',
        value: 'N',
        least: 1,
        help: 'so many of --requests at once (4)',
      },
      dump: { kind: 'text', value: 'DIR', help: 'writes prompt.json and vision_N.npy there' },
      ...engineOptions,
      verbose: {
        kind: 'flag',
        short: 'v',
        help: 'show progress and figures also when not on a terminal',
      },
      help: helpOption,
    },
  },
  serve: {
    usage: 'ocelli serve [options]',
    about:
      "Serves a model over HTTP: OpenAI's and vLLM's /v1/chat/completions and more; GET /docs shows all of it.\n" +
      'Writes a line of JSON for each request to standard output. Ctrl-C or SIGTERM lets what runs finish.',
    operands: { least: 0, most: 0 },
    options: {
      model: modelOption,
      host: { kind: 'text', value: 'ADDRESS', help: 'to listen at (127.0.0.1; 0.0.0.0 for all)' },
      port: { kind: 'integer', value: 'N', least: 0, help: 'to listen at (8000; 0 for any)' },
      name: {
        kind: 'texts',
        value: 'ID',
        help: "another id of the model; several may be given (its own and hosted services' are known)",
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
      },
      ...engineOptions,
      quiet: { kind: 'flag', help: 'no line for each request' },
      help: helpOption,
    },
  },
  convert: {
    usage: 'ocelli convert SRC OUT [options]',
    about:
      'Turns a Hugging Face checkpoint folder into a container. All options go to the converter.',
    operands: { least: 2, most: 2 },
    options: {
      linear: {
        kind: 'text',
        value: 'HOW',
        oneOf: ['keep', 'int4', 'int8'],
        help: 'precision of the layers',
      },
      name: {
        kind: 'text',
        value: 'NAME',
        help: "the name in the manifest (the folder's by default)",
      },
      ...containerOptions,
      help: helpOption,
    },
  },
  synth: {
    usage: 'ocelli synth --shape NAME OUT [options]',
    about:
      "Writes a container with random weights in a real model's shape: its speed and memory are the real model's,\n" +
      'its answers are not words. int4 layers, int8 vision and embedding by default.',
    operands: { least: 1, most: 1 },
    options: {
      shape: {
        kind: 'text',
        value: 'NAME',
        oneOf: ['3b', '7b', 'tiny'],
        help: 'Qwen2.5-VL-3B, -7B, or a toy',
      },
      seed: { kind: 'integer', value: 'N', least: 0, help: 'other weights (0)' },
      tokenizer: {
        kind: 'text',
        value: 'FILE',
        help: 'a tokenizer.json; a vocabulary made by rule by default',
      },
      linear: {
        kind: 'text',
        value: 'HOW',
        oneOf: ['int4', 'int8'],
        help: 'precision of the layers',
      },
      name: { kind: 'text', value: 'NAME', help: 'the name in the manifest (synth-SHAPE)' },
      ...containerOptions,
      help: helpOption,
    },
  },
  pull: {
    usage: 'ocelli pull URL [options]',
    about:
      'Fetches a model into the cache, where `run --model URL` finds it. What is there already is not fetched again; a\n' +
      'transfer that broke off, or was stopped, goes on where it was. Prints one line of JSON.',
    operands: { least: 1, most: 1 },
    options: {
      mirror: { kind: 'texts', value: 'URL', help: 'another place for it; several may be given' },
      sha256: { kind: 'text', value: 'HEX', help: 'what manifest.json must have' },
      header: {
        kind: 'texts',
        value: 'NAME:VALUE',
        help: 'sent with every request; several may be given',
      },
      parallel: { kind: 'integer', value: 'N', least: 1, help: 'transfers at a time (6)' },
      cache: cacheOption,
      quiet: { kind: 'flag', help: 'no progress' },
      help: helpOption,
    },
  },
  cache: {
    usage:
      'ocelli cache list [options]\n       ocelli cache size [options]\n' +
      '       ocelli cache verify [MODEL] [options]\n       ocelli cache remove MODEL|--unused [options]',
    about:
      'Shows the models in the cache, hashes them (damaged shards are removed and fetched again when needed; exit status 1),\n' +
      'or removes one. MODEL is its URL or name.',
    operands: { least: 1, most: 2 },
    options: {
      unused: { kind: 'flag', help: 'remove what belongs to no model any more' },
      json: { kind: 'flag', help: 'print JSON' },
      cache: cacheOption,
      help: helpOption,
    },
  },
  inspect: {
    usage: 'ocelli inspect DIR [options]',
    about: 'Shows the sizes and the precision of a container, and the memory it would take.',
    operands: { least: 0, most: 1 },
    options: {
      context: engineOptions['context'] as Option,
      json: { kind: 'flag', help: 'print JSON' },
      help: helpOption,
    },
  },
  tokenize: {
    usage: 'ocelli tokenize [TEXT|-] [options]',
    about: 'Prints the token ids of a text (of standard input for "-") as a JSON array.',
    operands: { least: 0, most: 1 },
    options: { model: modelOption, help: helpOption },
  },
  bench: {
    usage: 'ocelli bench [options]',
    about:
      'Measures a model: a prompt, decoding, an image; medians of several runs, with the least and the greatest.\n' +
      'Progress goes to standard error. Every run has another text and picture.',
    operands: { least: 0, most: 0 },
    options: {
      model: modelOption,
      prompt: { kind: 'integer', value: 'N', least: 0, help: 'tokens of a prompt (128; 0: none)' },
      new: { kind: 'integer', value: 'N', least: 0, help: 'tokens decoded (32; 0: none)' },
      context: {
        kind: 'integer',
        value: 'N',
        least: 0,
        help: 'tokens before decoding, with made-up keys and values (0)',
      },
      image: { kind: 'integer', value: 'PX', least: 28, help: 'a picture of PX x PX pixels' },
      batch: { kind: 'integer', value: 'N', least: 1, help: 'so many sequences at once (1)' },
      repeat: { kind: 'integer', value: 'N', least: 1, help: 'so many runs of each (3)' },
      threads: engineOptions['threads'] as Option,
      variant: engineOptions['variant'] as Option,
      compute: engineOptions['compute'] as Option,
      kv: engineOptions['kv'] as Option,
      'no-revectorise': engineOptions['no-revectorise'] as Option,
      json: { kind: 'flag', help: 'print one JSON object' },
      help: helpOption,
    },
  },
};

export const overview = `usage: ocelli COMMAND [options]

  run        answer a prompt, or a chat-completions body
  serve      answer over HTTP, as OpenAI's and vLLM's servers do
  convert    turn a Hugging Face folder into a container
  synth      write a container with random weights, for measuring
  pull       fetch a model from a URL into the cache
  cache      list, measure, verify and remove what is there
  inspect    show what a container holds and needs
  tokenize   print the token ids of a text
  bench      measure prompt, decoding, images, loading and memory

ocelli COMMAND --help tells more. Exit status: 0, 1 (failed), 2 (wrong usage).
`;

export function helpOf({ usage, about, options }: Command): string {
  const names = Object.entries(options).map(([name, { value, short, help, oneOf }]) => {
    const left = `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`;
    return [left, oneOf ? `${help}: ${oneOf.join(', ')}` : help] as const;
  });
  const width = Math.max(...names.map(([left]) => left.length));
  const lines = names.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`);
  return `usage: ${usage}\n\n${about}\n\n${lines.join('\n')}\n`;
}

export interface Given {
  operands: string[];
  text(name: string): string | undefined;
  texts(name: string): string[];
  number(name: string): number | undefined;
  flag(name: string): boolean;
}

/** Reads `words` as `command`'s; throws a UsageError. */
export function parseCommand(command: Command, words: readonly string[]): Given {
  const options = Object.fromEntries(
    Object.entries(command.options).map(([name, { kind, short }]) => [
      name,
      {
        type: kind === 'flag' ? ('boolean' as const) : ('string' as const),
        multiple: kind === 'texts',
        ...(short && { short }),
      },
    ]),
  );
  const { values, positionals } = parsed(words, options);
  const given: Given = {
    operands: positionals,
    text: (name) => values[name] as string | undefined,
    texts: (name) => (values[name] as string[] | undefined) ?? [],
    number: (name) => (values[name] === undefined ? undefined : Number(values[name])),
    flag: (name) => values[name] === true,
  };
  if (given.flag('help')) return given;
  for (const [name, option] of Object.entries(command.options))
    checkValue(name, option, values[name]);
  const { least, most } = command.operands;
  if (positionals.length < least)
    throw new UsageError(`${least} operands are needed, got ${positionals.length}`);
  if (positionals.length > most)
    throw new UsageError(`unexpected operand ${JSON.stringify(positionals[most])}`);
  return given;
}

function parsed(
  words: readonly string[],
  options: Record<string, { type: 'boolean' | 'string'; multiple: boolean; short?: string }>,
): { values: Record<string, unknown>; positionals: string[] } {
  // A lone "-" (standard input) and negative numbers are values, which parseArgs needs spelled with "=".
  const spelled: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    const next = words[i + 1];
    const takes = word.startsWith('--') && options[word.slice(2)]?.type === 'string';
    if (takes && next !== undefined && /^-(\d|$)/.test(next)) {
      spelled.push(`${word}=${next}`);
      i++;
    } else spelled.push(word);
  }
  try {
    return parseArgs({ args: spelled, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function checkValue(
  name: string,
  { kind, oneOf, least = -Infinity }: Option,
  value: unknown,
): void {
  if (value === undefined) return;
  if (oneOf && !oneOf.includes(value as string)) {
    throw new UsageError(
      `--${name} is ${JSON.stringify(value)}; it must be one of ${oneOf.join(', ')}`,
    );
  }
  if (kind !== 'integer' && kind !== 'number') return;
  const number = value === '' ? NaN : Number(value);
  if (Number.isNaN(number) || (kind === 'integer' && !Number.isInteger(number)) || number < least) {
    const range = least === -Infinity ? '' : `, at least ${least}`;
    throw new UsageError(
      `--${name} is ${JSON.stringify(value)}; it must be ${kind === 'integer' ? 'an integer' : 'a number'}${range}`,
    );
  }
}
