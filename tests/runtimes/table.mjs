// Owns the table of runtimes: each suite leaves a file of what it has seen to be right, this makes Markdown of them. Called
// by set_up.mjs when all suites have run. Surprise: a runtime that could not be started has the reason in its row.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { say } from '../../tools/setup/io.mjs';

const columns = ['text, streamed', 'text, whole', 'image, streamed', 'image, whole'];

/** Why there is no answer, in a cell. */
const why = (error = 'another answer') =>
  `FAILED: ${error.replace(/\s+/g, ' ').replaceAll('|', '/')}`;

/** Writes PLACE/table.md from the files in PLACE/rows and shows it. */
export function writeTable(place) {
  const rows = readdirSync(join(place, 'rows'))
    .map((name) => JSON.parse(readFileSync(join(place, 'rows', name), 'utf8')))
    .sort((a, b) => a.order - b.order);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const lines = [
    line(['runtime', 'how', 'build, threads', ...columns]),
    line(['---', '---', '---', ...columns.map(() => '---')]),
    ...rows.map(({ runtime, how, build, same, error }) =>
      line([
        runtime,
        how,
        build,
        ...columns.map((name) => (same[name] ? 'same bits' : why(error))),
      ]),
    ),
  ];
  writeFileSync(join(place, 'table.md'), `${lines.join('\n')}\n`);
  say(`\n${lines.join('\n')}\n\nwritten to ${join(place, 'table.md')}`);
}
