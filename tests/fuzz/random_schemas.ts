// Owns JSON schemas by chance: JSON-Schema-Test-Suite's own, changed ones of it, and ones made up from the supported
// keywords, with now and then one that is not. Used by schemas.test.ts. Surprise: the n-th schema of a seed is the same
// whatever was asked for before.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export interface SuiteCase {
  name: string;
  schema: Json;
  tests: { data: Json; valid: boolean }[];
}
export type Random = (below: number) => number;

const suiteFolder = fileURLToPath(
  new URL('../../node_modules/json-schema-test-suite/tests/draft4', import.meta.url),
);

/** Every group of the suite's tests, those of optional behaviour too, but not 1.0, which JSON.parse reads as 1. */
export function suite(): SuiteCase[] {
  const files = readdirSync(suiteFolder, { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.json') && !file.includes('zeroTerminatedFloats'))
    .sort()
    .flatMap((file) =>
      (
        JSON.parse(readFileSync(join(suiteFolder, file), 'utf8')) as {
          description: string;
          schema: Json;
          tests: SuiteCase['tests'];
        }[]
      ).map(({ description, schema, tests }) => ({
        name: `${file}: ${description}`,
        schema,
        tests,
      })),
    );
}

/** xorshift: whole numbers in [0, below). */
export function randomOf(seed: number): Random {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  const next = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  for (let i = 0; i < 8; i++) next();
  return (below) => next() % below;
}

const names = ['a', 'ab', 'b', 'name', 'größe', 'a"b', 'x y', '', 'line\n', 'id'];
const patterns = [
  '^[a-z]+$',
  'b',
  '^\\d{2,5}$',
  '^(ab|c)*$',
  'é|"',
  '^[^a]{1,4}$',
  '\\s',
  '^.{3,}$',
];
const formats = [
  ...['date', 'time', 'date-time', 'duration', 'email', 'hostname', 'ipv4', 'ipv6', 'uuid', 'uri'],
  'regex',
];

function pick<T>(random: Random, list: readonly T[]): T {
  return list[random(list.length)] as T;
}

function value(random: Random, depth: number): Json {
  const kinds: (() => Json)[] = [
    () => null,
    () => random(2) === 0,
    () => random(200) - 100,
    () => (random(4000) - 2000) / 8,
    () => pick(random, names),
    () => Array.from({ length: random(3) }, () => value(random, depth + 1)),
    () => ({ [pick(random, names)]: value(random, depth + 1) }),
  ];
  return pick(random, depth > 2 ? kinds.slice(0, 5) : kinds)();
}

/** Two counts, the first one not larger; either may be missing. */
function counts(random: Random, least: string, most: string, below: number): Json {
  const low = random(below);
  return {
    ...(random(2) === 0 && { [least]: low }),
    ...(random(2) === 0 && { [most]: low + random(below) }),
  };
}

function bounds(random: Random, whole: boolean): Json {
  const unit = whole || random(2) === 0 ? 1 : 4;
  const low = (random(400) - 200) / unit;
  const high = low + random(300) / unit;
  return {
    ...(random(2) === 0 && { [pick(random, ['minimum', 'exclusiveMinimum'])]: low }),
    ...(random(2) === 0 && { [pick(random, ['maximum', 'exclusiveMaximum'])]: high }),
    ...(random(6) === 0 && { multipleOf: 1 + random(12) }),
  };
}

function object(random: Random, depth: number): Json {
  const properties: { [name: string]: Json } = {};
  for (let i = random(5); i > 0; i--) properties[pick(random, names)] = schema(random, depth + 1);
  const required = Object.keys(properties).filter(() => random(2) === 0);
  if (random(8) === 0) required.push('more');
  return {
    type: 'object',
    ...(random(5) > 0 && { properties }),
    ...(random(2) === 0 && { required: [...new Set(required)] }),
    ...(random(3) === 0 && {
      additionalProperties: random(2) === 0 ? random(2) === 0 : schema(random, depth + 1),
    }),
    ...(random(6) === 0 && (counts(random, 'minProperties', 'maxProperties', 4) as object)),
  };
}

function array(random: Random, depth: number): Json {
  const first = Array.from({ length: 1 + random(3) }, () => schema(random, depth + 1));
  return {
    type: 'array',
    ...(random(4) === 0 && { prefixItems: first }),
    ...(random(4) > 0 && { items: random(8) === 0 ? false : schema(random, depth + 1) }),
    ...(random(2) === 0 && (counts(random, 'minItems', 'maxItems', 5) as object)),
  };
}

/** A schema of the supported keywords; one in fifty parts has another one. */
export function schema(random: Random, depth = 0): Json {
  const inner = () => schema(random, depth + 1);
  const few = () => Array.from({ length: 1 + random(3) }, inner);
  const simple: (() => Json)[] = [
    () => ({ type: 'string', ...(counts(random, 'minLength', 'maxLength', 30) as object) }),
    () => ({ type: 'string', pattern: pick(random, patterns) }),
    () => ({ type: 'string', format: pick(random, formats) }),
    () => ({
      ...{ type: 'string', pattern: pick(random, patterns) },
      ...{ minLength: random(4), maxLength: 4 + random(12) },
    }),
    () => ({ type: 'array', uniqueItems: true, items: { enum: ['a', 1, null, 'b'] } }),
    () => ({ type: 'integer', ...(bounds(random, true) as object) }),
    () => ({ type: 'number', ...(bounds(random, false) as object) }),
    () => ({ type: pick(random, ['boolean', 'null', 'string', 'number']) }),
    () => ({ type: ['string', 'null', 'integer'].filter(() => random(2) === 0) }),
    () => ({ enum: Array.from({ length: 1 + random(5) }, () => value(random, 0)) }),
    () => ({ const: value(random, 0) }),
    () => random(8) > 0,
    () => ({ $ref: pick(random, ['#/$defs/one', '#/$defs/two', '#']) }),
  ];
  const nested: (() => Json)[] = [
    () => object(random, depth),
    () => object(random, depth),
    () => array(random, depth),
    () => ({
      ...{ type: 'object', propertyNames: { pattern: pick(random, patterns), maxLength: 9 } },
      ...{ properties: { ab: true, 'x y': true }, additionalProperties: inner() },
    }),
    () => ({ type: 'object', patternProperties: { [pick(random, patterns)]: inner() } }),
    () => ({ anyOf: few() }),
    () => ({ oneOf: few() }),
    () => ({ allOf: few() }),
    () => ({ ...(object(random, depth) as object), anyOf: few() }),
  ];
  const unknown = ['not', 'if', 'contains', 'dependentSchemas', 'unevaluatedItems'];
  const made = pick(random, depth > 3 ? simple : depth === 0 ? nested : [...simple, ...nested])();
  if (random(50) === 0 && typeof made === 'object') {
    return { ...(made as object), [pick(random, unknown)]: inner() };
  }
  return made;
}

/** All places of a schema that hold one. */
function places(at: Json, out: [Json[] | { [name: string]: Json }, string][] = []) {
  if (at === null || typeof at !== 'object') return out;
  for (const [name, part] of Object.entries(at)) {
    if (part !== null && typeof part === 'object') out.push([at as { [name: string]: Json }, name]);
    places(part, out);
  }
  return out;
}

/** The n-th schema of a seed: made up, of the suite, or of the suite with a part of it changed. */
export function schemaAt(seed: number, n: number, cases: readonly SuiteCase[]): Json {
  const random = randomOf(seed * 1_000_003 + n);
  if (n < cases.length) return cases[n]!.schema;
  if (random(3) > 0) {
    const made = schema(random) as { [name: string]: Json };
    return { ...made, $defs: { one: schema(random, 2), two: schema(random, 3) } };
  }
  const changed = structuredClone(pick(random, cases).schema);
  for (let times = 1 + random(3); times > 0; times--) {
    const where = places(changed);
    if (where.length === 0) break;
    const [holder, name] = pick(random, where);
    const donor = structuredClone(pick(random, cases).schema);
    (holder as { [name: string]: Json })[name] = random(2) === 0 ? schema(random, 2) : donor;
  }
  return changed;
}
