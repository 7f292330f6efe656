// Owns checking options given by name: what each must be, in words that its error says. Called by options.ts and by those who
// take options of their own (downloads, endpoints, caches). Surprise: a name that is in no table is an error, since a
// misspelt option would otherwise be a silent default.
import { badRequest, type OcelliError } from './errors.ts';

/** What an option must be, in words, or null where `value` is that. */
export type Form = (value: unknown) => string | null;

/** The form of each option of `Options`. */
export type Forms<Options> = { readonly [Name in keyof Required<Options>]: Form };

const form =
  (words: string, right: (value: unknown) => boolean): Form =>
  (value) =>
    right(value) ? null : words;

/** An integer; without `most` as large as one likes, Infinity too. */
export const integer = (least: number, most = Infinity): Form =>
  form(
    most === Infinity ? `an integer, at least ${least}` : `an integer from ${least} to ${most}`,
    (value) =>
      (Number.isInteger(value) || value === Infinity) &&
      (value as number) >= least &&
      (value as number) <= most,
  );
export const amount: Form = form(
  'a number, at least 0',
  (value) => typeof value === 'number' && value >= 0,
);
export const boolean: Form = form('true or false', (value) => typeof value === 'boolean');
export const callable: Form = form('a function', (value) => typeof value === 'function');
export const text: Form = form(
  'a string that is not empty',
  (value) => typeof value === 'string' && value !== '',
);
export const object: Form = form('an object', isObject);
export const hexDigits = (count: number): Form =>
  form(
    `${count} hex digits`,
    (value) => typeof value === 'string' && value.length === count && !/[^0-9a-f]/i.test(value),
  );
export const httpUrl: Form = form('an http(s) URL', (value) =>
  /^https?:\/\/[^/]/i.test(String(value)),
);
export const oneOf = (...names: readonly string[]): Form =>
  form(`one of ${names.map((name) => JSON.stringify(name)).join(', ')}`, (value) =>
    names.includes(value as string),
  );
export const listOf =
  (one: Form): Form =>
  (value) => {
    if (!Array.isArray(value)) return `a list, each ${one(undefined)}`;
    const wrong = value.map(one).find((words) => words !== null);
    return wrong ? `a list, each ${wrong}` : null;
  };
export const either =
  (...forms: readonly Form[]): Form =>
  (value) => {
    const words = forms.map((one) => one(value));
    return words.includes(null) ? null : words.join(' or ');
  };

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Header fields, or who knows them. */
export const headers: Form = either(
  callable,
  form(
    'an object of strings',
    (value) => isObject(value) && Object.values(value).every((one) => typeof one === 'string'),
  ),
);

/**
 * Throws a BadRequestError for the first option that is not in `forms`, or not as it says; an undefined one counts as not
 * given. `where` is put before names, such as "download.".
 */
export function checkForms<Options extends object>(
  options: Options,
  forms: Forms<Options>,
  where = '',
): void {
  const what = where === '' ? 'options' : where.slice(0, -1);
  if (!isObject(options)) throw wrongValue(what, 'an object', options);
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(forms, name)) throw noOption(name, Object.keys(forms), where);
    if (value === undefined) continue;
    const words = forms[name as keyof Options](value);
    if (words !== null) throw wrongValue(where + name, words, value);
  }
}

export function wrongValue(name: string, words: string, value: unknown): OcelliError {
  return badRequest('invalid_value', `${name} must be ${words}, got ${shown(value)}`, name);
}

function noOption(name: string, known: readonly string[], where: string): OcelliError {
  const away = (one: string): number => distance(one.toLowerCase(), name.toLowerCase());
  const [near = ''] = [...known].sort((a, b) => away(a) - away(b));
  const hint = away(near) <= 2 ? `did you mean ${where}${near}?` : `there are ${known.join(', ')}`;
  const message = `there is no option ${where}${name}: ${hint}`;
  return badRequest('unknown_option', message, where + name);
}

/** Without what may be secret: the values of an object, a URL's query and password. */
function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (isObject(value)) return `an object with ${Object.keys(value).join(', ') || 'nothing in it'}`;
  if (typeof value !== 'string') return String(value);
  const plain = value.replace(/^(\w+:\/\/)[^/]*@/, '$1').replace(/[?#].*$/, '');
  return JSON.stringify(plain.length > 80 ? `${plain.slice(0, 80)}...` : plain);
}

/** How many letters are to be put in, left out or changed. */
function distance(a: string, b: string): number {
  let row = [...Array(b.length + 1).keys()];
  for (const [i, letter] of [...a].entries()) {
    let corner = i;
    let left = i + 1;
    row = row.map((above, j) => {
      if (j > 0) left = Math.min(left + 1, above + 1, corner + (letter === b[j - 1] ? 0 : 1));
      corner = above;
      return left;
    });
  }
  return row.at(-1) ?? 0;
}
