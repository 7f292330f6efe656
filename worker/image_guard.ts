// Owns where a server may fetch images from: http(s) only, public addresses only, each redirect looked at anew. Called by
// the adapters, which bring what fetches. Surprise: a name is only as good as the address it resolves to, so where the
// platform lets us (adapters/node_images.ts), the address is checked that the connection then goes to; elsewhere only
// what a URL itself says can be checked.
import ipaddr from 'ipaddr.js';
import { badRequest } from '../js/errors.ts';

export interface ImageRules {
  /** Whether addresses may be private, of this machine, or link-local. */
  allowPrivate?: boolean;
  /** Only these hosts, where given. */
  hosts?: readonly string[];
}

const redirectsMax = 5;

const refuse = (message: string): Error => badRequest('image_url_not_allowed', message);

/** Throws a BadRequestError unless the address is on the public internet (or the rules let others through). */
export function checkAddress(
  host: string,
  address: string,
  { allowPrivate = false }: ImageRules,
): void {
  if (allowPrivate) return;
  // An IPv4 address in IPv6's clothes is what it is inside.
  if (ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast') return;
  throw refuse(`the image host ${host} is not on the public internet, which is not allowed here`);
}

/** Throws a BadRequestError for a URL that may not be fetched, as far as it can be told from itself. */
export function checkUrl(url: URL, rules: ImageRules): void {
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refuse(`an image may not be fetched by ${url.protocol}; http: and https: are allowed`);
  if (url.username || url.password)
    throw refuse('an image URL may not hold a user name or a password');
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (rules.hosts && !rules.hosts.includes(host))
    throw refuse(`images may not be fetched from ${host}`);
  if (ipaddr.isValid(host)) checkAddress(host, host, rules);
  else if (/(^|\.)(localhost|local|internal|home\.arpa)$/i.test(host) || !host.includes('.'))
    checkAddress(host, '127.0.0.1', rules);
}

/** `fetcher` within the rules: follows redirects itself, checking each. */
export function guardedFetch(fetcher: typeof fetch, rules: ImageRules): typeof fetch {
  return async (input, init) => {
    let url = new URL(input instanceof Request ? input.url : input);
    for (let hops = 0; hops <= redirectsMax; hops++) {
      checkUrl(url, rules);
      const response = await fetcher(url, { ...init, redirect: 'manual' });
      const location = response.headers.get('location');
      if (![301, 302, 303, 307, 308].includes(response.status) || !location) return response;
      await response.body?.cancel();
      url = new URL(location, url);
    }
    throw refuse(`the image host redirects more than ${redirectsMax} times`);
  };
}
