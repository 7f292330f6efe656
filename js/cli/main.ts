#!/usr/bin/env node
// Owns the command `ocelli`: which command runs, what is said on failure, the exit status. Started by people and by
// other tools. Surprise: standard output holds results alone; all that is said about them goes to standard error.
import { OcelliError } from '../errors.ts';
import { commands, helpOf, overview, parseCommand, UsageError } from './arguments.ts';
import { bench } from './bench.ts';
import { cache } from './cache.ts';
import { convert } from './convert.ts';
import { inspect } from './inspect.ts';
import { pullCommand } from './pull.ts';
import { runCommand } from './run.ts';
import { serve } from './serve.ts';
import { synth } from './synth.ts';
import { tokenize } from './tokenize.ts';

/** What follows the message of a UsageError: first about all commands, then about the one that was named. */
let helpfulUsage = overview;

const work = {
  run: runCommand,
  serve,
  convert,
  synth,
  pull: pullCommand,
  cache,
  inspect,
  tokenize,
  bench,
};

async function main(words: readonly string[]): Promise<number> {
  const [name = '', ...rest] = words;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(overview);
    return 0;
  }
  const command = commands[name];
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
  return await work[name as keyof typeof work](given);
}

function explain(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`ocelli: ${error.message}\n\n${helpfulUsage}`);
    return 2;
  }
  if (error instanceof OcelliError)
    process.stderr.write(`ocelli: ${error.code}: ${error.message}\n`);
  else if (error instanceof Error && error.name === 'AbortError')
    process.stderr.write('ocelli: stopped\n');
  else
    process.stderr.write(
      `ocelli: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
  return 1;
}

// A reader that went away (`ocelli run ... | head`) is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? 0 : 1),
);
process.exitCode = await main(process.argv.slice(2)).catch(explain);
