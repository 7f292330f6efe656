// Owns fetching images in Node: a connection goes only to an address that was checked. Used by adapters/node.ts. Surprise:
// this is node:http and not fetch, since only there a connection can be given its resolver, which closes the gap between
// checking a name and connecting to it.
import { lookup } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { Readable } from 'node:stream';
import { checkAddress, guardedFetch, type ImageRules } from '../image_guard.ts';

/** A resolver that fails for a name with any address that the rules do not allow. */
function checkedLookup(rules: ImageRules, resolve: typeof lookup = lookup): LookupFunction {
  return (host, options, done) => {
    resolve(host, { ...options, all: true }, (error, addresses) => {
      if (error) return done(error, '');
      try {
        for (const { address } of addresses) checkAddress(host, address, rules);
      } catch (refusal) {
        return done(refusal as NodeJS.ErrnoException, '');
      }
      const [first] = addresses;
      if (options.all) done(null, addresses);
      else done(null, first?.address ?? '', first?.family);
    });
  };
}

/** fetch() within the rules: for images, and for what tasks have the server call, whose bodies are text. */
export function nodeImageFetch(rules: ImageRules, resolve?: typeof lookup): typeof fetch {
  const found = checkedLookup(rules, resolve);
  const once = (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> =>
    new Promise((accept, reject) => {
      const url = new URL(input instanceof Request ? input.url : input);
      const request = url.protocol === 'https:' ? requestHttps : requestHttp;
      const headers = {
        'accept-encoding': 'identity',
        ...(init.headers as Record<string, string>),
      };
      const { signal, method = 'GET', body: sent } = init as { body?: string } & RequestInit;
      const asked = request(
        url,
        { lookup: found, agent: false, method, headers, ...(signal && { signal }) },
        (answer) => {
          const { statusCode: status = 502 } = answer;
          const given = new Headers();
          for (const [name, value] of Object.entries(answer.headers))
            if (value !== undefined) given.set(name, String(value));
          const empty = status < 200 || status === 204 || status === 205 || status === 304;
          if (empty) answer.resume();
          const body = empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
          accept(new Response(body, { status: status < 200 ? 502 : status, headers: given }));
        },
      );
      asked.on('error', reject);
      asked.end(sent);
    });
  return guardedFetch(once, rules);
}
