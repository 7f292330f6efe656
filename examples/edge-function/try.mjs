// Tries the function in Node: a loader hook stands in for the platform's import of compiled modules, a small server for
// the place where the weights lie.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { register } from 'node:module';

const hook = `import { fileURLToPath } from 'node:url';
export async function load(url, context, next) {
  if (!url.endsWith('.wasm')) return next(url, context);
  const path = JSON.stringify(fileURLToPath(url));
  const source = "import { readFileSync } from 'node:fs';" +
    "export default new WebAssembly.Module(readFileSync(" + path + "));";
  return { format: 'module', source, shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

const container = process.argv[2]
  ? new URL(`file://${process.argv[2]}/`)
  : new URL('../../models/demo/container/', import.meta.url);
const server = createServer((request, response) => {
  const file = new URL(`.${request.url}`, container);
  if (existsSync(file)) createReadStream(file).pipe(response);
  else response.writeHead(404).end();
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const { default: handler, setUp } = await import('./function.js');
setUp(`http://127.0.0.1:${server.address().port}/`);
const body = JSON.stringify({
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
});
const response = await handler.fetch(new Request('http://localhost/', { method: 'POST', body }));
console.log(response.status, response.headers.get('content-type'));
for await (const bytes of response.body) process.stdout.write(bytes);
server.close();
server.closeAllConnections();
