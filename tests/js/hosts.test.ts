// Hosts and origins of a command line, as URLs and browsers spell them.
import { expect, it } from 'vitest';
import { hostIn, originIn } from '../../js/cli/hosts.ts';

it.each<[text: string, host: string | null]>([
  ['example.com', 'example.com'],
  ['Example.COM.', 'example.com'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '::1'],
  ['[::1]', '::1'],
  ...['', ' ', 'a b', 'https://a', 'a/b', 'a:80', '[::1]:80', 'u@a', '.'].map(
    (text): [string, null] => [text, null],
  ),
])('the host %j is %j', (text, host) => {
  expect(hostIn(text)).toBe(host);
});

it.each<[text: string, origin: string | null]>([
  ['*', '*'],
  ['https://example.com', 'https://example.com'],
  ['HTTPS://Example.com:443', 'https://example.com'],
  ['http://localhost:3000', 'http://localhost:3000'],
  ['chrome-extension://abcdef', 'chrome-extension://abcdef'],
  ...['', 'nope', 'example.com', 'https://', 'https://a/', 'https://a/b', 'https://u@a'].map(
    (text): [string, null] => [text, null],
  ),
])('the origin %j is %j', (text, origin) => {
  expect(originIn(text)).toBe(origin);
});
