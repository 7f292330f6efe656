// Owns the description of the server: the OpenAPI document and the page to try it. Called by app.ts through all.ts.
// Surprise: the page loads nothing from anywhere else, so it works without a network and under a strict policy.
import { docsPage, docsScript } from '../docs_page.ts';
import type { App, Mount, WorkerContext } from '../context.ts';
import { openapiDocument } from '../openapi.ts';
import { adapterOperations, operations } from '../operations.ts';

export const docs: Mount = (app: App, { version, runtimeAdapters }: WorkerContext) => {
  const all = runtimeAdapters ? [...operations, ...adapterOperations] : operations;
  let document: object | undefined;
  app.get('/openapi.json', (c) => c.json((document ??= openapiDocument(all, version))));
  app.get('/docs', (c) =>
    c.body(docsPage, 200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    }),
  );
  app.get('/docs/page.js', (c) =>
    c.body(docsScript, 200, { 'content-type': 'text/javascript; charset=utf-8' }),
  );
};
