// Owns the page /docs: each operation of /openapi.json with a body to send and what came back. Called by dialects/docs.ts.
// Surprise: page and script are texts, since an edge isolate has no files to read them from.

export const docsPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ocelli: the API</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
  code, pre, textarea, input { font: 14px/1.5 ui-monospace, monospace; }
  summary { cursor: pointer; padding: .4rem 0; }
  textarea, input { box-sizing: border-box; width: 100%; }
  pre { overflow: auto; max-height: 24rem; padding: .5rem; border: 1px solid #8886; white-space: pre-wrap; }
  .method { display: inline-block; min-width: 3.5rem; font-weight: 600; }
  table { border-collapse: collapse; } td { padding: 0 1rem 0 0; vertical-align: top; }
</style>
<h1>ocelli</h1>
<p id="about">The API, from <a href="/openapi.json">/openapi.json</a>.</p>
<p><label>API key, where one is needed <input id="key" type="password" autocomplete="off"></label></p>
<main id="operations"></main>
<noscript>This page needs JavaScript; /openapi.json has all that it shows.</noscript>
<script src="/docs/page.js" type="module"></script>
</html>
`;

export const docsScript = `
const make = (tag, fields = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), fields);
  element.append(...children);
  return element;
};

function resolved(schema, all, deep = 0) {
  const name = schema?.$ref?.split('/').at(-1);
  if (name) return deep > 6 ? name : resolved(all[name], all, deep + 1);
  if (Array.isArray(schema)) return schema.map((one) => resolved(one, all, deep + 1));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, all, deep + 1)]));
}

function tryIt(path, method, operation) {
  const content = operation.requestBody?.content['application/json'];
  const address = make('input', { value: path });
  const body = make('textarea', { rows: 10, spellcheck: false, value: JSON.stringify(content?.example ?? {}, null, 2) });
  const output = make('pre', { ariaLive: 'polite', hidden: true });
  const button = make('button', { type: 'button', textContent: 'Send' });
  let running = null;
  button.onclick = async () => {
    if (running) return running.abort();
    running = new AbortController();
    button.textContent = 'Stop';
    output.hidden = false;
    output.textContent = '';
    const key = document.getElementById('key').value;
    try {
      const reply = await fetch(address.value, {
        method: method.toUpperCase(),
        signal: running.signal,
        headers: { ...(content && { 'content-type': 'application/json' }), ...(key && { authorization: 'Bearer ' + key }) },
        ...(content && { body: body.value }),
      });
      output.textContent = reply.status + ' ' + reply.statusText + '\\n\\n';
      const decoder = new TextDecoder();
      const reader = reply.body?.getReader();
      for (let piece = await reader?.read(); piece && !piece.done; piece = await reader.read())
        output.append(decoder.decode(piece.value, { stream: true }));
    } catch (error) {
      output.append(String(error));
    }
    running = null;
    button.textContent = 'Send';
  };
  return make('div', {}, ...(path.includes('{') ? [address] : []), ...(content ? [body] : []), button, output);
}

function shown(path, method, operation, schemas) {
  const heading = make('summary', {}, make('span', { className: 'method', textContent: method.toUpperCase() }),
    make('code', { textContent: path }), ' ' + operation.summary);
  const rows = Object.entries(operation.responses).map(([status, { description }]) =>
    make('tr', {}, make('td', { textContent: status }), make('td', { textContent: description })));
  const schema = operation.requestBody?.content['application/json']?.schema;
  const shape = schema && make('details', {}, make('summary', { textContent: 'The body as a JSON schema' }),
    make('pre', { textContent: JSON.stringify(resolved(schema, schemas), null, 2) }));
  return make('details', {}, heading, tryIt(path, method, operation), make('table', {}, ...rows), ...(shape ? [shape] : []));
}

const document_ = await (await fetch('/openapi.json')).json();
document.getElementById('about').prepend(document_.info.title + ' ' + document_.info.version + '. ');
const groups = new Map();
for (const [path, methods] of Object.entries(document_.paths))
  for (const [method, operation] of Object.entries(methods)) {
    const [tag] = operation.tags;
    if (!groups.has(tag)) groups.set(tag, make('section', {}, make('h2', { textContent: tag })));
    groups.get(tag).append(shown(path, method, operation, document_.components.schemas));
  }
document.getElementById('operations').append(...groups.values());
`;
