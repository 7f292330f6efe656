// Owns the table of clients: Markdown made of the rows that cells.mjs leaves. Called by set_up.mjs when all suites have run.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { say } from '../../tools/setup/io.mjs';
import { columns, place } from './columns.mjs';

/** Writes build/clients/table.md and shows it. */
export function writeTable() {
  const folder = join(place, 'rows');
  if (!existsSync(folder)) return;
  const rows = readdirSync(folder)
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
    .sort((a, b) => a.order - b.order);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const shown = (text = 'not run') => text.replace(/\s+/g, ' ').replaceAll('|', '\\|');
  const lines = [
    line(['client', 'version', ...columns]),
    line(['---', '---', ...columns.map(() => '---')]),
    ...rows.map(({ client, version, cells }) =>
      line([client, version, ...columns.map((name) => shown(cells[name]))]),
    ),
  ];
  writeFileSync(join(place, 'table.md'), `${lines.join('\n')}\n`);
  say(`\n${lines.join('\n')}\n\nwritten to ${join(place, 'table.md')}`);
}
