// Owns a client's cells: a test for each of columns.mjs, and the client's row of the table. Called by the suites. Surprise: a
// suite that leaves a cell out does not start; what a client cannot express is a cell too, which passes only while the
// client's own files say so.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { clients, columns, place } from './columns.mjs';

/** Where the files of an installed npm client are. */
export const packageAt = (name) => join(import.meta.dirname, 'node_modules', name);

export const versionOf = (name) =>
  JSON.parse(readFileSync(join(packageAt(name), 'package.json'), 'utf8')).version;

/** `tests` maps each column to a function that throws when the client does not do it, or to what cannot() gives. */
export function cells(client, version, tests) {
  const given = Object.keys(tests);
  const odd = [
    ...columns.filter((name) => !given.includes(name)),
    ...given.filter((name) => !columns.includes(name)),
  ];
  if (odd.length > 0) throw new Error(`${client}: cells that are missing, or unknown: ${odd}`);
  const order = clients.indexOf(client);
  if (order < 0) throw new Error(`${client} is not in columns.mjs`);
  const row = { client, version, order, cells: {} };
  describe(client, () => {
    for (const name of columns)
      it(name, async () => {
        row.cells[name] = 'FAILED';
        row.cells[name] = (await tests[name]()) ?? 'passes';
      });
    afterAll(() => {
      mkdirSync(join(place, 'rows'), { recursive: true });
      writeFileSync(join(place, 'rows', `${order}.json`), JSON.stringify(row));
    });
  });
}

/** A cell of something that a client has no words for; `words` are those with which its own file says so. */
export function cannot(file, words) {
  return () => {
    expect(readFileSync(file, 'utf8')).toContain(words);
    return `no: \`${words}\``;
  };
}

/** What `asked` rejects with. */
export const failure = (asked) =>
  asked.then(
    () => expect.unreachable('it should have failed'),
    (error) => error,
  );
