// Owns `npm run page`: serves the package and this folder's page on this computer, with the headers that let a page share
// memory between threads and that forbid it every script but its own files. Started by hand and by tests/runtimes.
//   node examples/browser/serve.mjs [PORT] [--plain]     --plain: without those headers, as a plain static host does
// Surprise: only what the page needs is served, not all of the clone.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname } from 'node:path';

const root = new URL('../../', import.meta.url);
const home = '/examples/browser/';
const served = [
  home,
  '/build/js/',
  '/build/wasm/',
  '/models/demo/container/',
  '/models/demo/examples/',
];
const types = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.mjs': 'text/javascript',
  '.png': 'image/png',
  '.wasm': 'application/wasm',
};
const headers = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' https:; " +
    "img-src 'self' blob: data:; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
};

/** The file behind a path, or null. The URL has taken every ".." out before. */
function fileOf(path) {
  if (!served.some((start) => path.startsWith(start))) return null;
  const file = new URL(`.${path.endsWith('/') ? `${path}index.html` : path}`, root);
  return file.href.startsWith(root.href) && existsSync(file) && statSync(file).isFile()
    ? file
    : null;
}

function answer(request, response, plain) {
  const { pathname, search } = new URL(request.url, 'http://localhost');
  if (pathname === '/') {
    response.writeHead(302, { location: `${home}${search}` }).end();
    return;
  }
  const file = fileOf(pathname);
  if (!file) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end(`there is no ${pathname}\n`);
    return;
  }
  response.writeHead(200, {
    ...(!plain && headers),
    'content-type': types[extname(file.pathname)] ?? 'application/octet-stream',
    'content-length': statSync(file).size,
    'cache-control': 'no-cache',
  });
  if (request.method === 'HEAD') response.end();
  else createReadStream(file).pipe(response);
}

const words = process.argv.slice(2);
const plain = words.includes('--plain');
const [text = '8080', ...more] = words.filter((word) => word !== '--plain');
const port = Number(text);
if (more.length > 0 || !/^\d+$/.test(text) || port > 65535) {
  console.error(`usage: serve.mjs [PORT] [--plain]: PORT is 0 to 65535, got '${words.join(' ')}'`);
  process.exit(2);
}
if (!existsSync(new URL('build/js/index.js', root))) {
  console.error('build/js/index.js is missing: run `npm run build` first');
  process.exit(1);
}
const server = createServer((request, response) => answer(request, response, plain));
server.on('error', (error) => {
  console.error(`cannot listen on port ${port}: ${error.message}`);
  process.exit(1);
});
server.listen(port, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
