// fetch() over sockets of our own, against Node's HTTP server, raw sockets and TLS. Surprise: what it leaves to the host's
// fetch() is told by the user-agent of the request.
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, createServer as createSocketServer, type Server } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Answered, socketFetch } from '../../js/weights/socket_fetch.ts';
import { atEnd } from './fixtures.ts';
import { certificate, key } from './self_signed.ts';

afterEach(() => vi.unstubAllEnvs());

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

/** A server with how many connections it was asked for. */
async function serving(
  answer: RequestListener,
): Promise<{ url: string; connections: () => number }> {
  const server = createServer(answer);
  let connections = 0;
  server.on('connection', () => connections++);
  const url = `http://127.0.0.1:${await listening(server)}/`;
  atEnd(() => server.closeAllConnections());
  return { url, connections: () => connections };
}

/** A server that says `text`, whatever it is asked, and ends. */
async function saying(...texts: string[]): Promise<string> {
  const server = createSocketServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end(texts.shift() ?? '', 'latin1'));
  });
  return `http://127.0.0.1:${await listening(server)}/`;
}

const reason = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

async function all({ read }: Answered, step = 1000): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const part = new Uint8Array(step);
    const count = (await read?.(part)) ?? 0;
    if (count === 0) return Buffer.concat(parts);
    parts.push(part.subarray(0, count));
  }
}

const noise = Buffer.from(Array.from({ length: 700_001 }, (_, n) => (n * n + (n >> 8)) & 255));

describe('an answer', () => {
  it('is read to where it is wanted, with its status and headers', async () => {
    const { url } = await serving((request, response) => {
      response.writeHead(206, { 'content-length': noise.length, 'x-range': request.headers.range });
      response.end(noise);
    });
    const answer = await socketFetch(url, { headers: { range: 'bytes=5-' } });
    expect([answer.status, answer.body, answer.headers.get('x-range')]).toEqual([
      206,
      null,
      'bytes=5-',
    ]);
    const shared = new Uint8Array(new SharedArrayBuffer(noise.length));
    for (let at = 0; at < shared.length; )
      at += (await answer.read?.(shared.subarray(at))) as number;
    expect(Buffer.compare(shared, noise)).toBe(0);
    expect(await answer.read?.(new Uint8Array(1))).toBe(0);
  });

  it.each([1, 3, 1000, 300_000])('may come in chunks, read %i bytes at a time', async (step) => {
    const size = Math.min(noise.length, step * 300);
    const { url, connections } = await serving((_, response) => {
      for (let at = 0; at < size; at += 1 + (size >> 2))
        response.write(noise.subarray(at, Math.min(size, at + 1 + (size >> 2))));
      response.addTrailers({ 'x-end': 'yes' });
      response.end();
    });
    for (let times = 0; times < 2; times++)
      expect(Buffer.compare(await all(await socketFetch(url), step), noise.subarray(0, size))).toBe(
        0,
      );
    expect(connections()).toBe(1);
  });

  it('may end with its connection', async () => {
    const url = await saying(`HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\n${'b'.repeat(5000)}`);
    const answer = await socketFetch(url);
    expect(answer.headers.get('x-a')).toBe('1');
    expect(String(await all(answer))).toBe('b'.repeat(5000));
  });

  it('may be announced by others, and have nothing in it', async () => {
    const url = await saying(
      'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\netag: "e"\r\n\r\n',
    );
    const answer = await socketFetch(url);
    expect([answer.status, answer.headers.get('etag')]).toEqual([304, '"e"']);
    expect(await all(answer)).toHaveLength(0);
  });

  it.each([
    ['nothing', '', /connection was closed/],
    ['no HTTP', 'SSH-2.0-server\r\n\r\n', /no HTTP/],
    ['half a head', 'HTTP/1.1 200 OK\r\ncontent-le', /connection was closed/],
    ['no header', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n', /no header/],
    ['a head without end', `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(80_000)}`, /too long/],
    [
      'a length that is none',
      'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n',
      /its length is "-1"/,
    ],
  ])('of %s is an error', async (_, text, words) => {
    const error = (await reason(socketFetch(await saying(text)))) as Error;
    expect(error.message).toMatch(words);
  });

  it.each([
    ['no size', 'zz\r\nabc', /no size/],
    ['another length than it says', '2\r\nabc\r\n0\r\n\r\n', /not as long/],
    ['an end before its end', '5\r\nabc', /^3$/],
  ])('with a chunk of %s is an error, or short', async (_, text, words) => {
    const url = await saying(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${text}`);
    const read = all(await socketFetch(url)).then(
      ({ length }) => String(length),
      (error: Error) => error.message,
    );
    expect(await read).toMatch(words);
  });
});

describe('a connection', () => {
  it('takes the next request when an answer has been read, else another one does', async () => {
    const { url, connections } = await serving((_, response) => void response.end('some bytes'));
    for (let times = 0; times < 3; times++) await all(await socketFetch(url));
    expect(connections()).toBe(1);
    const control = new AbortController();
    const left = await socketFetch(url, { signal: control.signal });
    control.abort('enough');
    expect(await left.read?.(new Uint8Array(99)).catch((error: unknown) => error)).toBe('enough');
    await all(await socketFetch(url));
    expect(connections()).toBe(2);
  });

  it('that was closed while nobody asked is replaced', async () => {
    const whole = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
    const url = await saying(whole, whole, whole);
    for (let times = 0; times < 3; times++)
      expect(String(await all(await socketFetch(url)))).toBe('ok');
  });

  it('that cannot be made is an error that says why', async () => {
    const { url } = await serving(() => undefined);
    const other = url.replace(/:\d+/, ':1');
    const error = (await reason(socketFetch(other))) as Error;
    expect(error.message).toMatch(/ECONNREFUSED/);
  });

  it('ends when it is given up while the server is silent', async () => {
    const control = new AbortController();
    const { url } = await serving(() => control.abort('enough'));
    expect(
      await socketFetch(url, { signal: control.signal }).catch((error: unknown) => error),
    ).toBe('enough');
    expect(
      await socketFetch(url, { signal: control.signal }).catch((error: unknown) => error),
    ).toBe('enough');
  });

  it('may be encrypted; a certificate that nobody vouches for is refused', async () => {
    const server = createSecureServer(
      { cert: certificate, key },
      (_, response) => void response.end(noise),
    );
    const url = `https://localhost:${await listening(server)}/`;
    const error = (await reason(socketFetch(url))) as Error;
    expect(error.message).toMatch(/self-signed/);
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    for (let times = 0; times < 2; times++)
      expect(Buffer.compare(await all(await socketFetch(url), 1 << 20), noise)).toBe(0);
    server.closeAllConnections();
  });
});

describe('a redirect', () => {
  it('is followed; what is secret stays with the first server', async () => {
    const seen: (string | undefined)[] = [];
    const other = await serving((request, response) => {
      seen.push(request.headers.authorization, request.headers.range);
      response.end('there');
    });
    const { url } = await serving((request, response) => {
      seen.push(request.headers.authorization);
      const location = request.url === '/' ? '/next' : `${other.url}there`;
      response.writeHead(302, { location }).end('elsewhere');
    });
    const headers = { authorization: 'Bearer secret', range: 'bytes=0-' };
    expect(String(await all(await socketFetch(url, { headers })))).toBe('there');
    expect(seen).toEqual(['Bearer secret', 'Bearer secret', undefined, 'bytes=0-']);
  });

  it('without end is an error', async () => {
    const { url } = await serving(
      (_, response) => void response.writeHead(302, { location: '/' }).end(),
    );
    const error = (await reason(socketFetch(url))) as Error;
    expect(error.message).toMatch(/redirect/);
  });
});

describe("the host's own fetch", () => {
  it('takes over where an answer is compressed', async () => {
    const agents: (string | undefined)[] = [];
    const { url } = await serving((request, response) => {
      agents.push(request.headers['user-agent']);
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('short'));
    });
    const answer = (await socketFetch(url)) as Response;
    expect(await answer.text()).toBe('short');
    expect(agents).toEqual(['ocelli', 'node']);
  });

  it('takes over where there is a proxy', async () => {
    vi.stubEnv('NODE_USE_ENV_PROXY', '1');
    const { url } = await serving(
      (request, response) => void response.end(request.headers['user-agent']),
    );
    expect(await ((await socketFetch(url)) as Response).text()).toBe('node');
  });
});
