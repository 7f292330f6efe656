#!/usr/bin/env node
// Owns the command `ocelli`: which command runs, what is said on failure, the exit status. Started by people and by
// other tools. Surprise: standard output holds results alone; all that is said about them goes to standard error.
import { readFile } from 'node:fs/promises';
import { OcelliError } from '../errors.ts';
import { packageRoot } from '../host.ts';
import { helpOf, parseCommand, UsageError } from './arguments.ts';
import { commands } from './commands.ts';
import { stopStatus } from './stop.ts';

const briefs = Object.entries(commands).map(
  ([name, { brief }]) => `  ${name.padEnd(9)}  ${brief}\n`,
);
const overview = `usage: ocelli COMMAND [options]

${briefs.join('')}
ocelli COMMAND --help tells more, ocelli --version which one this is. Exit status: 0, 1 (failed), 2 (wrong usage), 130
(stopped).
`;

/** What follows the message of a UsageError: first about all commands, then about the one that was named. */
let helpfulUsage = overview;

async function main(words: readonly string[]): Promise<number> {
  const [name = '', ...rest] = words;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview);
    return 0;
  }
  if (name === '--version' || name === '-V') {
    process.stdout.write(`${await version()}\n`);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command)
    throw new UsageError(
      name ? `there is no command ${JSON.stringify(name)}` : 'a command is needed',
    );
  helpfulUsage = `usage: ${command.usage}\n\nocelli ${name} --help tells more.\n`;
  const given = parseCommand(command, rest);
  if (given.flag('help')) {
    process.stdout.write(helpOf(command));
    return 0;
  }
  const work = await command.work();
  return await work(given);
}

async function version(): Promise<string> {
  const text = await readFile(new URL('package.json', packageRoot), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function explain(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`ocelli: ${error.message}\n\n${helpfulUsage}`);
    return 2;
  }
  if (error instanceof OcelliError)
    process.stderr.write(`ocelli: ${error.code}: ${error.message}\n`);
  else if (error instanceof Error && error.name === 'AbortError') {
    process.stderr.write('ocelli: stopped\n');
    return stopStatus();
  } else if (error instanceof Error && 'syscall' in error)
    // The system refused, as with a port that is taken: no bug of ours, whose stack would help.
    process.stderr.write(`ocelli: io_error: ${error.message}\n`);
  else
    process.stderr.write(
      `ocelli: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  return 1;
}

// A reader that went away (`ocelli run ... | head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`ocelli: io_error: standard output cannot be written: ${error.message}\n`);
  process.exit(1);
});
process.exitCode = await main(process.argv.slice(2)).catch(explain);
