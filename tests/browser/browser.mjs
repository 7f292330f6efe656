// Owns running a page in a headless browser: a server that makes it cross-origin isolated (threads need that), the browser
// as a child process, and the page's report. Called by tests/bench/peers and tests/runtimes. Surprise: the page itself
// posts its result to the server; nothing drives the browser, so no package for that is needed.
import { spawn, execFileSync } from 'node:child_process';
import {
  createReadStream,
  existsSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { SetupError, say, which } from '../../tools/setup/io.mjs';

const kinds = {
  '.css': 'text/css',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** The browser's path; CHROMIUM in the environment names another one. */
export function chromium() {
  const found =
    process.env.CHROMIUM ??
    ['chromium', 'chromium-browser', 'google-chrome'].map(which).find(Boolean);
  if (found && existsSync(found)) return found;
  throw new SetupError(
    'Chromium is needed: apt-get install chromium, or name another one in CHROMIUM',
  );
}

export function chromiumVersion() {
  const quiet = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
  return execFileSync(chromium(), ['--version'], quiet).trim();
}

/** The file that a request's path means, or null: `overlay` names single paths, `roots` folders. */
export function fileOf(path, roots, overlay = {}) {
  if (overlay[path]) return overlay[path];
  const found = Object.keys(roots).find((start) => path.startsWith(start));
  const rest = found && normalize(decodeURIComponent(path.slice(found.length)));
  return found && !rest.startsWith('..') ? join(roots[found], rest) : null;
}

/** What makes a page cross-origin isolated. */
export const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

function serve(request, response, { roots, overlay, report, asked, with: more = isolation }) {
  const headers = { 'Cache-Control': 'no-store', ...more };
  const { pathname } = new URL(request.url, 'http://localhost');
  asked?.(pathname);
  if (request.method === 'POST') {
    let text = '';
    request.on('data', (bytes) => (text += bytes));
    request.on('end', () => {
      response.writeHead(204, headers).end();
      report(pathname, text);
    });
    return;
  }
  const file = fileOf(pathname, roots, overlay);
  const found = file && existsSync(file) ? statSync(file) : null;
  if (!found?.isFile()) {
    response.writeHead(404, headers).end();
    return;
  }
  const type = kinds[extname(file)] ?? 'application/octet-stream';
  response.writeHead(200, { ...headers, 'Content-Type': type, 'Content-Length': found.size });
  if (request.method === 'HEAD') response.end();
  else createReadStream(file, { highWaterMark: 1 << 20 }).pipe(response);
}

/** Serves `roots` and `overlay` (see fileOf) on loopback, with headers `with`; `report` gets what is posted, `asked` every path. */
export async function serveFiles(options) {
  const server = createServer((request, response) => serve(request, response, options));
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, close };
}

const commands = {
  chromium: (profile, flags, url) => [
    ...['--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    ...['--no-first-run', '--disable-background-networking', '--disable-extensions'],
    ...['--disable-background-timer-throttling', '--disable-renderer-backgrounding'],
    // Without it a headless browser ends as soon as the page is loaded.
    ...['--remote-debugging-port=0', `--user-data-dir=${profile}`, ...flags],
    url,
  ],
  firefox: (profile, flags, url) => {
    const prefs = flags
      .map((flag) => flag.split('='))
      .map(([name, value]) => `user_pref("${name}", ${value});`);
    writeFileSync(join(profile, 'user.js'), prefs.join('\n'));
    return ['--headless', '--no-remote', '--profile', profile, url];
  },
};

/**
 * Opens `page` with `options` and resolves to the object that it posts to /result. `browser` is chromium (default) or
 * firefox, `path` its program; `flags`: options of Chromium's command, or Firefox's preferences as name=value.
 */
export async function inBrowser({
  browser = 'chromium',
  path,
  page,
  options,
  minutes = 30,
  flags = [],
  ...served
}) {
  const profile = mkdtempSync(join(tmpdir(), `ocelli-${browser}-`));
  let report;
  const result = new Promise((accept, reject) => {
    report = (path, text) => {
      if (path === '/result') accept(JSON.parse(text));
      else if (path === '/failure') reject(new SetupError(`${page}: ${text}`));
      else say(`    ${text}`);
    };
    setTimeout(
      () => reject(new SetupError(`${page} gave no result in ${minutes} minutes`)),
      60_000 * minutes,
    ).unref();
  });
  result.catch(() => undefined);
  const server = await serveFiles({ ...served, report });
  const query = encodeURIComponent(JSON.stringify(options));
  const words = commands[browser](profile, flags, `${server.origin}${page}?${query}`);
  const child = spawn(path ?? chromium(), words, { stdio: ['ignore', 'ignore', 'pipe'] });
  let tail = '';
  child.stderr.on('data', (bytes) => (tail = (tail + bytes).slice(-2000)));
  const ended = new Promise((done, reject) => {
    child.on('error', (error) => reject(new SetupError(`${browser}: ${error.message}`)));
    child.on('close', (code) => reject(new SetupError(`${browser} ended with ${code}:\n${tail}`)));
  });
  ended.catch(() => undefined);
  try {
    return await Promise.race([result, ended]);
  } finally {
    child.kill();
    await ended.catch(() => undefined);
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
