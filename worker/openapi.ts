// Owns the OpenAPI document: the routes that the dialects describe, with the zod schemas as their components. Called by
// dialects/docs.ts. Surprise: it is made of data and not of the router, so a test holds that each described route exists
// and each existing one is described.
import { z } from 'zod';
import { shapes } from './schemas.ts';

export interface Operation {
  method: 'get' | 'post' | 'put';
  /** As OpenAPI spells it: /v1/models/{id} */
  path: string;
  /** The dialect. */
  tag: string;
  summary: string;
  /** What a body has to be; one that is JSON. */
  body?: z.ZodType;
  /** A body to try it with. */
  example?: unknown;
  reply: {
    about: string;
    /** Of a JSON reply. */
    json?: z.ZodType;
    /** Of each event of a stream. */
    events?: z.ZodType;
    /** The type of a reply that is neither. */
    type?: string;
  };
  /** Statuses of errors besides 500, in the order they are checked. */
  errors?: readonly number[];
  errorBody?: z.ZodType;
  /** Where a key may stand, of components.securitySchemes; a bearer key by default. */
  keys?: readonly string[];
}

const meanings: Record<number, string> = {
  400: 'The body, or what it names, is not right',
  401: 'A key is needed, or is not known',
  402: 'The key has no credits left',
  404: 'There is no such model, or no such thing',
  406: 'The key has no credits left',
  413: 'The body is too large',
  415: 'The body is not application/json',
  429: 'Too many requests: come back after Retry-After seconds',
  500: 'Our fault',
  502: 'The server cannot answer now',
  503: 'The server is starting or shutting down',
  504: 'The request took too long',
};

const place = '#/components/schemas/';

function refTo(schema: z.ZodType): object {
  const id = shapes.get(schema)?.id;
  if (id !== undefined) return { $ref: `${place}${id}` };
  return bare(z.toJSONSchema(schema, { io: 'input' }));
}

/** A schema without what says where it is from. */
function bare(schema: object): object {
  const kept = Object.entries(schema).filter(([key]) => key !== '$schema' && key !== '$id');
  return Object.fromEntries(kept);
}

function described({
  body,
  example,
  reply,
  errors = [],
  keys = ['key'],
  ...operation
}: Operation): object {
  const { json, events, type } = reply;
  const content = {
    ...(json && { 'application/json': { schema: refTo(json) } }),
    ...(events && {
      // Tools that know streams would hold each event to a schema here, before its data is read.
      'text/event-stream': { 'x-event': refTo(events) },
    }),
    ...(type !== undefined && { [type]: { schema: { type: 'string' } } }),
  };
  const error = operation.errorBody && {
    'application/json': { schema: refTo(operation.errorBody) },
  };
  const failed = (status: number) => [
    String(status),
    { description: meanings[status] ?? 'An error', ...(error && { content: error }) },
  ];
  return {
    tags: [operation.tag],
    summary: operation.summary,
    ...(/\{(\w+)\}/.test(operation.path) && {
      parameters: [...operation.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
        ...{ name, in: 'path', required: true, schema: { type: 'string' } },
      })),
    }),
    ...(body && {
      requestBody: {
        required: true,
        content: {
          'application/json': { schema: refTo(body), ...(example !== undefined && { example }) },
        },
      },
    }),
    responses: {
      200: { description: reply.about, ...(Object.keys(content).length > 0 && { content }) },
      ...Object.fromEntries([...errors, 500].map(failed)),
    },
    // Without keys nobody needs one.
    security: errors.includes(401) ? [...keys.map((name) => ({ [name]: [] })), {}] : [],
  };
}

/** The document, OpenAPI 3.1. */
export function openapiDocument(operations: readonly Operation[], version: string): object {
  const { schemas } = z.toJSONSchema(shapes, { uri: (id) => `${place}${id}`, io: 'input' });
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations)
    (paths[operation.path] ??= {})[operation.method] = described(operation);
  return {
    openapi: '3.1.0',
    info: {
      title: 'ocelli',
      version,
      description: 'Qwen2.5-VL behind the APIs of hosted services.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(schemas).map(([id, schema]) => [id, bare(schema)]),
      ),
      securitySchemes: {
        key: { type: 'http', scheme: 'bearer' },
        header: { type: 'apiKey', in: 'header', name: 'x-api-key' },
      },
    },
  };
}
