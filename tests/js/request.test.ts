// What the core is asked: images out of every spelling, the text as it was, numbers as they were spelled.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSpelled } from '../../js/json_text.ts';
import { fromDataUrl, mediaDefaults, type MediaOptions } from '../../js/media.ts';
import { parseBody, prepareRequest } from '../../js/request.ts';
import type { ChatBody } from '../../js/types.ts';

const options: MediaOptions = {
  ...mediaDefaults,
  fetch: globalThis.fetch,
  fileImages: true,
  signal: undefined,
};
const pixels = Uint8Array.from([1, 2, 3, 250, 251, 252]);
const dataUrl = `data:image/png;base64,${Buffer.from(pixels).toString('base64')}`;

/** The JSON for the core with handles 100, 101, ... and the bytes that they stand for. */
async function asked(body: ChatBody | string, changes: Partial<MediaOptions> = {}) {
  const { core } = await prepareRequest(parseBody(body), { ...options, ...changes });
  expect(core.body.length).toBe(core.images.length + 1);
  return {
    json: core.body.reduce((all, piece, i) => `${all}${99 + i}${piece}`),
    images: core.images,
  };
}
const withPart = (part: unknown): ChatBody => ({
  messages: [{ role: 'user', content: [part as never] }],
});

let server: Server;
let base = '';
let folder = '';
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ocelli-'));
  server = createServer((request, response) => {
    if (request.url === '/image') response.end(pixels);
    else if (request.url === '/moved') response.writeHead(302, { location: '/image' }).end();
    else if (request.url === '/large') {
      response.write(new Uint8Array(5000));
      response.end(new Uint8Array(5000));
    } else if (request.url !== '/slow') response.writeHead(404).end('none');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return () => rmSync(folder, { recursive: true });
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

describe('request_id', () => {
  const idOf = async (request_id: unknown) =>
    (await prepareRequest(parseBody({ messages: [], request_id } as never), options)).requestId;
  it('is the caller’s where there is one', async () => {
    expect(await idOf('abc')).toBe('abc');
    for (const none of [undefined, null, '']) expect(await idOf(none)).toBe(null);
    await expect(idOf(5)).rejects.toMatchObject({ status: 400, param: 'request_id' });
  });
});

describe('images', () => {
  it.each([
    [
      'image_url with an object',
      { type: 'image_url', image_url: { url: dataUrl, detail: 'high' } },
    ],
    ['image_url with a bare string', { type: 'image_url', image_url: dataUrl }],
    ['image_url without a type', { image_url: { url: dataUrl } }],
    ['image with a string', { type: 'image', image: dataUrl }],
    ['image without a type', { image: dataUrl }],
    ['image with bytes', { type: 'image', image: pixels }],
    ['image with a buffer', { type: 'image', image: pixels.buffer }],
    ['image with a blob', { type: 'image', image: new Blob([pixels]) }],
    ['image with a URL object', { type: 'image', image: new URL(dataUrl) }],
    ['image with a source', { type: 'image', source: { type: 'base64', data: dataUrl.slice(22) } }],
    ['input_image', { type: 'input_image', image_url: dataUrl }],
  ])('%s', async (_, part) => {
    const { json, images } = await asked(withPart(part));
    expect(json).toBe('{"messages":[{"role":"user","content":[{"type":"image","media":100}]}]}');
    expect(images.map((one) => [...one])).toEqual([[...pixels]]);
  });

  it('keeps the order of parts, the pixel limits and all other fields', async () => {
    const part = { type: 'image', image: dataUrl, min_pixels: 3136, max_pixels: 100352 };
    const content = [
      { type: 'text', text: 'first' },
      part,
      { type: 'text', text: 'then' },
      part,
    ] as never;
    const { json, images } = await asked({
      top_k: 5,
      messages: [
        { role: 'user', content },
        { role: 'user', content: 'x' },
      ],
    });
    const image = (handle: number): string =>
      `{"type":"image","media":${handle},"min_pixels":3136,"max_pixels":100352}`;
    expect(json).toBe(
      `{"top_k":5,"messages":[{"role":"user","content":[{"type":"text","text":"first"},${image(100)},` +
        `{"type":"text","text":"then"},${image(101)}]},{"role":"user","content":"x"}]}`,
    );
    expect(images.length).toBe(2);
  });

  it.each([
    { type: 'image_url', image_url: null },
    { type: 'image_url', image_url: { url: null } },
    { type: 'input_image', image_url: null },
    { type: 'image', image: null },
    { type: 'image', source: null },
    { image: null },
    { image_url: null },
  ])('a part whose image is null is skipped, as services do: %j', async (part) => {
    const content = [part, { type: 'odd', x: 1 }] as never;
    const { json, images } = await asked({ messages: [{ role: 'assistant', content }] });
    expect(json).toBe('{"messages":[{"role":"assistant","content":[{"type":"odd","x":1}]}]}');
    expect(images).toEqual([]);
  });

  it.each([
    { type: 'text', text: 'x', image_url: null, image: null },
    { text: 'x', image: null },
    { type: 'text', text: 'x', image_url: { url: dataUrl } },
    { text: 'x', image: dataUrl },
    { type: 'odd', x: 1 },
    { type: 'video_url', video_url: null },
  ])('what is no image, or text too, is left to the core: %j', async (part) => {
    const { json, images } = await asked(withPart(part));
    expect(json).toBe(`{"messages":[{"role":"user","content":[${JSON.stringify(part)}]}]}`);
    expect(images).toEqual([]);
  });

  it.each([{ type: 'image_url' }, { type: 'image' }, { type: 'input_image', detail: 'low' }])(
    'an image part without an image is refused by its place: %j',
    async (part) => {
      const messages = [
        { role: 'user', content: 'x' },
        { role: 'user', content: [{ type: 'text', text: 'y' }, part] },
      ] as ChatBody['messages'];
      await expect(asked({ messages })).rejects.toMatchObject({
        status: 400,
        param: 'messages[1].content[1]',
        message: 'messages[1].content[1]: an image must be given as a URL or as bytes, got nothing',
      });
    },
  );

  it.each([
    ['parameters', `data:image/png;charset=utf-8;base64,${Buffer.from(pixels).toString('base64')}`],
    ['capital letters', `DATA:image/png;BASE64,${Buffer.from(pixels).toString('base64')}`],
    [
      'the URL alphabet without padding',
      `data:;base64,${Buffer.from(pixels).toString('base64url')}`,
    ],
    ['line breaks', `data:image/png;base64,AQID\r\n+vv8`],
    ['percent escapes', 'data:image/png,%01%02%03%fa%fb%fc'],
    ['escaped base64', `data:image/png;base64,AQID%2Bvv8`],
  ])('a data URL with %s', (_, url) => expect([...fromDataUrl(url)]).toEqual([...pixels]));

  it('fetches http and reads files', async () => {
    const path = join(folder, 'an image.png');
    writeFileSync(path, pixels);
    const here = relative(process.cwd(), path).replaceAll(' ', '%20');
    for (const url of [
      `${base}/image`,
      `${base}/moved`,
      pathToFileURL(path).href,
      `file:${here}`,
    ]) {
      const { images } = await asked(withPart({ type: 'image_url', image_url: { url } }));
      expect([...(images[0] ?? [])]).toEqual([...pixels]);
    }
  });

  it.each([
    ['a status', () => `${base}/none`, /127\.0\.0\.1:\d+ cannot be fetched: HTTP status 404/],
    [
      'no server',
      () => 'http://127.0.0.1:9/x',
      /127\.0\.0\.1:9 cannot be fetched: .*(ECONNREFUSED|bad port)/,
    ],
    ['silence', () => `${base}/slow`, /cannot be fetched: no answer in 80 ms/],
    ['too many bytes', () => `${base}/large`, /larger than the limit of 6000 bytes/],
    ['no scheme', () => 'cat.png', /"cat\.png" has no scheme; data:, http: and https: are known/],
    ['another scheme', () => 'ftp://x/y', /has the scheme ftp:/],
    ['no data', () => 'data:image/png;base64', /no comma/],
    ['bad base64', () => 'data:image/png;base64,@@@', /not base64/],
    ['a missing file', () => 'file:///nowhere/x.png', /cannot be read: ENOENT/],
    ['a number', () => 5, /must be given as a URL or as bytes, got number/],
  ])('says what is wrong: %s', async (_, url, message) => {
    const limits = { imageTimeoutMs: 80, imageBytesMax: 6000 };
    const work = asked(withPart({ type: 'image_url', image_url: { url: url() } }), limits);
    await expect(work).rejects.toMatchObject({
      status: 400,
      type: 'BadRequestError',
      param: 'messages[0].content[0]',
    });
    await expect(work).rejects.toThrow(message);
  });

  it('reads no files where that is not allowed', async () => {
    const work = asked(
      withPart({ type: 'image', image: pathToFileURL(import.meta.filename ?? '/x').href }),
      { fileImages: false },
    );
    await expect(work).rejects.toThrow(/file: image URLs are not allowed/);
  });

  it('stops a download when the signal says so', async () => {
    const control = new AbortController();
    setTimeout(() => control.abort(new Error('enough')), 20);
    const work = asked(withPart({ type: 'image', image: `${base}/slow` }), {
      signal: control.signal,
    });
    await expect(work).rejects.toThrow('enough');
  });
});

describe('bodies as text', () => {
  it('keep the spelling of numbers', async () => {
    const text =
      '{"seed":9223372036854775807,"tools":[{"minimum":1.0,"maximum":1e3,"s":"1.0 \\" 2.0"}],"messages":[]}';
    expect((await asked(text)).json).toBe(text);
  });
  it('lose white space and nothing else', () => {
    const { value, stringify } = parseSpelled(' { "a" : [ -0.0 , 2.50 ] , "b" : "\\u0041" } ');
    expect(stringify(value)).toBe('{"a":[-0.0,2.50],"b":"A"}');
  });
  it('and text cut within an emoji is still text', async () => {
    const cut = '🙂'.slice(0, 1);
    const whole = JSON.stringify({ messages: [], a: '\\ud83d', b: `🙂${cut}`, c: '\udc00' });
    expect((await asked(whole)).json).toBe(
      '{"messages":[],"a":"\\\\ud83d","b":"🙂\ufffd","c":"\ufffd"}',
    );
    expect((await asked({ messages: [], text: cut })).json).toBe('{"messages":[],"text":"\ufffd"}');
  });
  it('may be large', () => {
    const text = `{"x":"${'A1'.repeat(8 << 20)}","y":1.0}`;
    const { value, stringify } = parseSpelled(text);
    expect(stringify(value)).toBe(text);
  });
  it('and objects that JSON cannot hold are refused', async () => {
    const circle: ChatBody = { messages: [] };
    circle['self'] = circle;
    for (const body of [circle, { messages: [], seed: 1n as never }]) {
      await expect(asked(body)).rejects.toMatchObject({ status: 400, code: 'invalid_json' });
    }
  });
  it.each([
    ['{"messages":', /not JSON/],
    ['[1]', /must be an object with messages, got array/],
    ['null', /got null/],
  ])('%s is refused', async (text, message) => {
    await expect(asked(text)).rejects.toMatchObject({ status: 400 });
    await expect(asked(text)).rejects.toThrow(message);
  });
});
