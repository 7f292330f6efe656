// Where images may come from: what a URL says, what its name resolves to, and where it is redirected.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeImageFetch } from '../../worker/adapters/node_images.ts';
import { checkUrl, guardedFetch } from '../../worker/image_guard.ts';
import { rejection } from '../js/fake_ai.ts';

describe('a URL', () => {
  it.each([
    'http://127.0.0.1/a.png',
    'http://127.1/a.png',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0.0.0.0/',
    'http://10.1.2.3/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/latest/meta-data',
    'http://100.64.0.1/',
    'http://[::1]/',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[fe80::1]/',
    'http://[fc00::1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://224.0.0.1/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.localhost/',
    'http://metadata.google.internal/',
    'http://redis/',
  ])('to %s is refused, and taken where private addresses are allowed', (url) => {
    expect(() => checkUrl(new URL(url), {})).toThrow(/is not on the public internet/);
    expect(() => checkUrl(new URL(url), { allowPrivate: true })).not.toThrow();
  });

  it.each([
    ['ftp://example.com/a.png', /may not be fetched by ftp:/],
    ['https://ann:pass@example.com/', /user name or a password/],
  ])('%s is refused whatever is allowed', (url, message) => {
    expect(() => checkUrl(new URL(url), { allowPrivate: true })).toThrow(message);
  });

  it('on the public internet is taken, or only from the hosts that are named', () => {
    const rules = { hosts: ['cdn.example.com'] };
    for (const url of [
      'https://93.184.215.14/',
      'https://[2606:2800:21f::1]/',
      'http://example.com/',
    ])
      expect(() => checkUrl(new URL(url), {})).not.toThrow();
    expect(() => checkUrl(new URL('https://cdn.example.com/a'), rules)).not.toThrow();
    expect(() => checkUrl(new URL('https://example.com/a'), rules)).toThrow(
      /may not be fetched from example.com/,
    );
  });
});

describe('a redirect', () => {
  const redirecting = (to: string): typeof fetch =>
    guardedFetch(async () => new Response(null, { status: 302, headers: { location: to } }), {});

  it('to a private address is refused', async () => {
    const error = await rejection(redirecting('http://127.0.0.1/')('https://example.com/'));
    expect(error).toMatchObject({ status: 400, code: 'image_url_not_allowed' });
  });

  it('without an end is refused', async () => {
    const error = await rejection(redirecting('/again')('https://example.com/'));
    expect(error.message).toMatch(/redirects more than 5 times/);
  });
});

describe('in Node', () => {
  let server: Server;
  let port = 0;
  const seen: (string | undefined)[] = [];
  beforeAll(async () => {
    server = createServer((request, answer) => {
      seen.push(request.headers['user-agent']);
      if (request.url === '/to') answer.writeHead(307, { location: '/image' }).end();
      else if (request.url === '/hang') answer.writeHead(200).write('x');
      else answer.writeHead(200, { 'content-type': 'image/png' }).end('bytes');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  /** A resolver for which every name is this machine. */
  const here = ((_host: string, _options: unknown, done: (...words: unknown[]) => void) =>
    done(null, [{ address: '127.0.0.1', family: 4 }])) as never;

  it('a name that resolves to this machine is refused, and nothing is sent', async () => {
    const before = seen.length;
    const asked = nodeImageFetch({}, here)(`http://pictures.example.com:${port}/image`);
    expect((await rejection(asked)).code).toBe('image_url_not_allowed');
    expect(seen.length).toBe(before);
  });

  it('what is allowed is fetched, through redirects, by the address that was checked', async () => {
    const fetcher = nodeImageFetch({ allowPrivate: true }, here);
    const headers = { 'user-agent': 'ocelli/0.1' };
    const reply = await fetcher(`http://pictures.example.com:${port}/to`, { headers });
    expect([reply.status, await reply.text()]).toEqual([200, 'bytes']);
    expect(seen.at(-1)).toBe('ocelli/0.1');
  });

  it('a signal ends it', async () => {
    const stop = new AbortController();
    const fetcher = nodeImageFetch({ allowPrivate: true });
    const reply = await fetcher(`http://127.0.0.1:${port}/hang`, { signal: stop.signal });
    stop.abort();
    await expect(reply.text()).rejects.toThrow();
  });
});
