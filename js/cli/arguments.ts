// Owns reading a command line by what a command says it takes (commands.ts), and the help made from that. Called by main.ts.
// Surprise: a wrong command line is a UsageError (exit status 2), everything that goes wrong later is a failure (1).
import { parseArgs } from 'node:util';

export class UsageError extends Error {}

type Kind = 'text' | 'texts' | 'integer' | 'number' | 'flag';
export interface Option {
  kind: Kind;
  /** What stands for the value in the help. */
  value?: string;
  help: string;
  oneOf?: readonly string[];
  least?: number;
  most?: number;
  short?: string;
  /** What each text must be, in words, and whether it is. */
  form?: readonly [words: string, holds: (text: string) => boolean];
}

export interface Command {
  /** Imports what does the work; it resolves to the exit status. */
  work(): Promise<(given: Given) => Promise<number>>;
  /** Its line in the list of commands. */
  brief: string;
  usage: string;
  about: string;
  operands: { least: number; most: number };
  options: Record<string, Option>;
}

/** What `ocelli COMMAND --help` prints. */
export function helpOf({ usage, about, options }: Command): string {
  const names = Object.entries(options).map(([name, { value, short, help, oneOf }]) => {
    const left = `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`;
    return [left, oneOf ? `${help}: ${oneOf.join(', ')}` : help] as const;
  });
  const width = Math.max(...names.map(([left]) => left.length));
  const lines = names.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`);
  return `usage: ${usage}\n\n${about}\n\n${lines.join('\n')}\n`;
}

/** What was given on the command line; what was not is undefined, empty or false. */
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
    throw new UsageError(
      `${least} operand${least === 1 ? ' is' : 's are'} needed, got ${positionals.length}`,
    );
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
    const { code, message } = error as NodeJS.ErrnoException;
    const name = /'(-[^\s',]+)/.exec(message)?.[1] ?? '';
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION')
      throw new UsageError(`there is no option ${name}; text that begins with - goes after --`);
    if (message.includes('argument missing')) throw new UsageError(`${name} needs a value`);
    throw new UsageError(message);
  }
}

function checkValue(
  name: string,
  { kind, oneOf, form, least = -Infinity, most = Infinity }: Option,
  value: unknown,
): void {
  if (value === undefined) return;
  const wrongText = form && [value as string | string[]].flat().find((text) => !form[1](text));
  if (wrongText !== undefined)
    throw new UsageError(`--${name} is ${JSON.stringify(wrongText)}; it must be ${form?.[0]}`);
  if (oneOf && !oneOf.includes(value as string)) {
    throw new UsageError(
      `--${name} is ${JSON.stringify(value)}; it must be one of ${oneOf.join(', ')}`,
    );
  }
  if (kind !== 'integer' && kind !== 'number') return;
  const number = value === '' ? NaN : Number(value);
  const wrong = Number.isNaN(number) || (kind === 'integer' && !Number.isInteger(number));
  if (wrong || number < least || number > most) {
    const lower = least === -Infinity ? '' : `, at least ${least}`;
    const range = most === Infinity ? lower : `, from ${least} to ${most}`;
    throw new UsageError(
      `--${name} is ${JSON.stringify(value)}; it must be ${kind === 'integer' ? 'an integer' : 'a number'}${range}`,
    );
  }
}
