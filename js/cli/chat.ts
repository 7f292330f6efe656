// Owns `ocelli chat`: a conversation in a terminal, with pictures. Called by main.ts. Surprise: the whole conversation is asked
// anew at each turn; the engine still has what it computed for the turns before, so only what is new takes time.
import { createInterface } from 'node:readline';
import { statSync } from 'node:fs';
import type { AI } from '../ai.ts';
import { OcelliError } from '../errors.ts';
import type { EngineEvent } from '../thread/protocol.ts';
import type { ChatMessage, ContentPart } from '../types.ts';
import type { Given } from './arguments.ts';
import { adapterOf, fieldsOf, figures, imageUrl, writeAnswer } from './asking.ts';
import { aiOf, say, talkative } from './io.ts';
import { stopSignal } from './stop.ts';

const help = `/image FILE  a picture to ask about; its path alone on a line does the same
/reset       begin anew
/help        show this
/exit        end, as Ctrl-D does; Ctrl-C stops an answer
A line that ends with \\ goes on in the next one.`;

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** A path as a terminal writes one that was dropped on it. */
const unquoted = (text: string): string =>
  text
    .trim()
    .replace(/^(['"])(.*)\1$/, '$2')
    .replaceAll(/\\(.)/g, '$1');

/** What has been said, and the pictures of the question to come. */
class Conversation {
  readonly #system: ChatMessage[];
  #messages: ChatMessage[];
  #images: string[];

  constructor(system: string | undefined, images: readonly string[]) {
    this.#system = system === undefined ? [] : [{ role: 'system', content: system }];
    this.#messages = [...this.#system];
    this.#images = [...images];
  }

  reset(): void {
    this.#messages = [...this.#system];
    this.#images = [];
  }

  show(image: string): void {
    this.#images.push(image);
  }

  /** The messages with this question; they count as said once an answer is kept. */
  ask(text: string): { messages: ChatMessage[]; keep(answer: string): void } {
    const parts: ContentPart[] = this.#images.map((name) => ({
      type: 'image_url',
      image_url: { url: imageUrl(name) },
    }));
    const content = parts.length > 0 ? [...parts, { type: 'text' as const, text }] : text;
    this.#images = [];
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content }];
    const keep = (answer: string): void => {
      this.#messages = [...messages, { role: 'assistant', content: answer }];
    };
    return { messages, keep };
  }
}

export async function chat(given: Given): Promise<number> {
  const ai = aiOf(given);
  const ending = stopSignal();
  try {
    return await Promise.race([talk(ai, given, ending), stopped(ending)]);
  } finally {
    await ai.close();
  }
}

const stopped = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });

async function talk(ai: AI, given: Given, ending: AbortSignal): Promise<number> {
  const model = await adapterOf(ai, given);
  const { model: name } = await ai.info(); // from here on the terminal is the conversation's
  const conversation = new Conversation(given.text('system'), given.texts('image'));
  const terminal = process.stdin.isTTY === true && process.stderr.isTTY === true;
  if (terminal) say(`${name}: ask, or /help`);
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal });
  let answering: AbortController | null = null;
  lines.on('SIGINT', () => (answering ? answering.abort() : lines.close()));
  ending.addEventListener('abort', () => lines.close());
  let open = true; // lines that have come are still answered when no more will
  lines.on('close', () => (open = false));
  const prompt = (text: string): void => {
    if (!terminal || !open) return;
    lines.setPrompt(text);
    lines.prompt();
  };

  async function answer(text: string): Promise<void> {
    answering = new AbortController();
    const signal = AbortSignal.any([answering.signal, ending]);
    const { messages, keep } = conversation.ask(text);
    let said = '';
    let end: (EngineEvent & { type: 'done' }) | undefined;
    const onEvent = (event: EngineEvent): void => {
      if (event.type === 'done') end = event;
    };
    try {
      const body = { messages, ...fieldsOf(given), stream: true as const };
      const stream = await ai.run(model, body, { signal, onEvent });
      await writeAnswer(stream, (piece) => (said += piece));
      keep(said);
      if (given.flag('verbose') && end) say(figures(end));
    } catch (error) {
      if (ending.aborted || !(signal.aborted || error instanceof OcelliError)) throw error;
      if (said !== '') keep(said);
      if (signal.aborted) say('(stopped)');
      else say(`ocelli: ${(error as OcelliError).code}: ${(error as OcelliError).message}`);
    } finally {
      answering = null;
    }
  }

  let begun = '';
  prompt('> ');
  for await (const line of lines) {
    if (line.endsWith('\\')) {
      begun += `${line.slice(0, -1)}\n`;
      prompt('. ');
      continue;
    }
    const text = begun + line;
    const whole = begun === '';
    begun = '';
    const [, command, rest = ''] = (whole && /^\/([a-z?]+)(?:\s+(.*))?$/.exec(text.trim())) || [];
    const path = unquoted(command === 'image' ? rest : text);
    if (command === 'exit' || command === 'quit' || command === 'bye') break;
    if (text.trim() === '') {
      // nothing was said
    } else if (command === 'reset') conversation.reset();
    else if (command === 'image' && rest !== '') show(path);
    else if (whole && /\.(jpe?g|png|webp|gif|bmp)$/i.test(path) && isFile(path)) show(path);
    else if (command !== undefined) say(help);
    else await answer(text);
    prompt('> ');
  }
  if (terminal) process.stderr.write('\n');
  lines.close();
  return 0;

  function show(path: string): void {
    if (!/^[a-z]+:/i.test(path) && !isFile(path)) return say(`there is no file ${path}`);
    conversation.show(path);
    if (terminal || talkative(given)) say('the next question shows it');
  }
}
