// Owns the table of commands: what each takes, what its help says, where its work stands. Read by main.ts and by the commands
// that hand their options on. Surprise: a command's module is imported when it is asked for, so that the help needs none and
// no other command waits for the server's packages.
import type { Command, Option } from './arguments.ts';
import {
  answerOptions,
  cacheOption,
  containerOptions,
  engineOptions,
  helpOption,
  imagesOption,
  modelOption,
  serveOptions,
} from './options.ts';

export const commands: Record<string, Command> = {
  run: {
    work: async () => (await import('./run.ts')).runCommand,
    brief: 'answer a prompt, or a chat-completions body',
    usage: 'ocelli run [PROMPT] [options]\n       ocelli run --request FILE|- [options]',
    about: 'Answers a prompt; the text streams to standard output.',
    operands: { least: 0, most: 1 },
    options: {
      model: modelOption,
      image: imagesOption,
      ...answerOptions,
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
  chat: {
    work: async () => (await import('./chat.ts')).chat,
    brief: 'talk in the terminal, about pictures too',
    usage: 'ocelli chat [options]',
    about:
      'A conversation: each line of standard input is a question. /image FILE shows a picture, /reset begins anew,\n' +
      '/help tells the rest.',
    operands: { least: 0, most: 0 },
    options: {
      model: modelOption,
      image: imagesOption,
      ...answerOptions,
      ...engineOptions,
      verbose: { kind: 'flag', short: 'v', help: 'show figures of each answer' },
      help: helpOption,
    },
  },
  serve: {
    work: async () => (await import('./serve.ts')).serve,
    brief: "answer over HTTP, as OpenAI's and vLLM's servers do",
    usage: 'ocelli serve [options]',
    about:
      "Serves a model over HTTP: OpenAI's and vLLM's /v1/chat/completions and more; GET /docs shows all of it.\n" +
      'Writes a line of JSON for each request to standard output. Ctrl-C or SIGTERM lets what runs finish.',
    operands: { least: 0, most: 0 },
    options: {
      model: modelOption,
      ...serveOptions,
      ...engineOptions,
      quiet: { kind: 'flag', help: 'no line for each request' },
      help: helpOption,
    },
  },
  convert: {
    work: async () => (await import('./convert.ts')).convert,
    brief: 'turn a Hugging Face folder into a container',
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
    work: async () => (await import('./synth.ts')).synth,
    brief: 'write a container with random weights, for measuring',
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
    work: async () => (await import('./pull.ts')).pullCommand,
    brief: 'fetch a model from a URL into the cache',
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
    work: async () => (await import('./cache.ts')).cache,
    brief: 'list, measure, verify and remove what is there',
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
    work: async () => (await import('./inspect.ts')).inspect,
    brief: 'show what a container holds and needs',
    usage: 'ocelli inspect [DIR|URL] [options]',
    about: 'Shows the sizes and the precision of a container, and the memory it would take.',
    operands: { least: 0, most: 1 },
    options: {
      context: engineOptions['context'] as Option,
      json: { kind: 'flag', help: 'print JSON' },
      help: helpOption,
    },
  },
  tokenize: {
    work: async () => (await import('./tokenize.ts')).tokenize,
    brief: 'print the token ids of a text',
    usage: 'ocelli tokenize [TEXT|-] [options]',
    about: 'Prints the token ids of a text (of standard input for "-") as a JSON array.',
    operands: { least: 0, most: 1 },
    options: { model: modelOption, help: helpOption },
  },
  bench: {
    work: async () => (await import('./bench.ts')).bench,
    brief: 'measure prompt, decoding, images, loading and memory',
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
      image: {
        kind: 'integer',
        value: 'PX',
        least: 28,
        most: 8000,
        help: 'a picture of PX x PX pixels',
      },
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
