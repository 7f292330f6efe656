// Python's clients against `ocelli serve`. Surprise: one process runs all cells of a client and says each when it is done; the
// tests here wait for theirs.
import { afterAll, inject } from 'vitest';
import { cells } from './cells.mjs';
import { columns } from './columns.mjs';
import { startCells, versionIn } from './python.mjs';

const at = inject('at');
const { python } = inject('fetched');
const started = new Map();
afterAll(() => started.forEach(({ end }) => end()));

function clientOf(name, environment) {
  if (!started.has(name))
    started.set(name, startCells(python[environment], `cells_${name}.py`, at));
  return started.get(name);
}

for (const [name, environment] of [
  ['openai', 'openai'],
  ['litellm', 'litellm'],
  ['instructor', 'litellm'],
]) {
  const tests = columns.map((column) => [column, () => clientOf(name, environment).cell(column)]);
  cells(`${name} (Python)`, versionIn(environment, name), Object.fromEntries(tests));
}
