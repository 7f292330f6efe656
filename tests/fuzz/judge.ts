// Owns who says whether a document is valid: Ajv. Used by schemas.test.ts and answers.test.ts. Surprise: lists of items are from
// before 2020, prefixItems from then on, so each has its own Ajv.
import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { Json } from './random_schemas.ts';

/** What is wrong with a document, null when nothing is. */
export type Judge = (document: string) => unknown;

/** Null: Ajv knows no such schema. */
export function judge(schema: Json): Judge | null {
  const options = { strict: false, logger: false as const };
  const text = JSON.stringify(schema);
  // Beside prefixItems, or where items is one schema, additionalItems means nothing.
  const older = text.includes('"prefixItems":')
    ? /"(definitions|dependencies)":|"items":\[/
    : /"(additionalItems|definitions|dependencies)":|"items":\[/;
  const ajv = older.test(text) ? new Ajv(options) : new Ajv2020(options);
  addFormats.default(ajv);
  try {
    const valid = ajv.compile(schema as object);
    return (document) => {
      let parsed: unknown;
      try {
        parsed = JSON.parse(document);
      } catch {
        return 'it is no JSON';
      }
      try {
        return valid(parsed) ? null : valid.errors;
      } catch (error) {
        // A schema that refers to itself at the same value, without end: nothing is to be said of it.
        if (error instanceof RangeError) return null;
        throw error;
      }
    };
  } catch {
    return null;
  }
}
