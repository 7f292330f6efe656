// Images: every way to name one, every kind of file, and what is said of those that are none. Part of checklist.test.ts.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ChatBody } from '../../../js/index.ts';
import { base, imageTimeoutMs, prompt, refusal, run, streamed } from './context.ts';
import { bitmap, root } from '../real_model.ts';

describe('Images: data URI with/without extra params, uppercase scheme, png/jpeg/webp/gif, alpha, EXIF, 1×1, ratio >200, multiple images, image_url as bare string, missing file, non-image bytes, 404/timeouts → 400 with cause', () => {
  const data = (bytes: Uint8Array, head = 'data:image/bmp;base64,'): string =>
    head + Buffer.from(bytes).toString('base64');
  const golden = (name: string): Uint8Array =>
    readFileSync(join(root, 'tests/golden/images', name));
  const image = (url: string) => ({ type: 'image_url', image_url: { url } });
  const asking = (...content: unknown[]): ChatBody => ({
    messages: [{ role: 'user', content: [...content, { type: 'text', text: '?' }] as never }],
  });
  const tokens = async (...content: unknown[]): Promise<number> =>
    (await prompt(asking(...content))).tokens;
  const small = bitmap(56, 56); // 2 x 2 tokens between two marks

  it('every spelling of one picture counts the same', async () => {
    const plain = await tokens(image(data(small)));
    expect(plain - (await tokens())).toBe(6);
    // vLLM has no bare string under the type image_url; too many programs do.
    const spellings = [
      image(data(small, 'data:image/bmp;charset=utf-8;base64,')),
      image(data(small, 'data:;base64,')),
      image(data(small, 'DATA:IMAGE/BMP;BASE64,')),
      image(`${base}/ok`),
      image(`${base.replace('http', 'HTTP')}/ok`),
      { type: 'image_url', image_url: data(small) },
      { image_url: data(small) },
    ];
    for (const spelling of spellings) expect(await tokens(spelling)).toBe(plain);
    expect(await tokens(image(data(small)), image(data(small)))).toBe(plain + 6);
  });
  it.each([
    'color6_8.png',
    'q90_444_progressive.jpg',
    'rgb_lossy.webp',
    'rgba_lossless.webp',
    'transparent1.gif',
    'animated.gif',
    'exif_2.jpg',
    'edge_1x1.jpg',
  ])('%s is seen, and its sizes are told', async (name) => {
    const body = { ...asking(image(data(golden(name)))), max_tokens: 2, return_image_sizes: true };
    const whole = await run(body);
    expect(whole.usage.completion_tokens).toBeGreaterThan(0);
    const [size] = whole.images ?? [];
    expect([(size?.width ?? NaN) % 28, (size?.height ?? NaN) % 28]).toEqual([0, 0]);
    if (name === 'edge_1x1.jpg') expect(size).toMatchObject({ source_width: 1, source_height: 1 });
    const chunks = await streamed(body);
    expect(chunks.map(({ images }) => images)).toEqual([
      whole.images,
      ...chunks.slice(1).map(() => undefined),
    ]);
    expect(await run({ ...body, return_image_sizes: false })).not.toHaveProperty('images');
  });
  it('min_pixels and max_pixels decide the size', async () => {
    const sized = async (kwargs: object): Promise<number> =>
      (await prompt({ ...asking(image(data(bitmap(280, 280)))), mm_processor_kwargs: kwargs }))
        .tokens;
    expect((await sized({})) - (await sized({ max_pixels: 56 * 56 }))).toBe(100 - 4);
    expect((await sized({ min_pixels: 560 * 560 })) - (await sized({}))).toBe(400 - 100);
    // Below the model's own least, which then gives way.
    expect((await sized({})) - (await sized({ max_pixels: 1000 }))).toBe(100 - 1);
  });
  it.each<[string, () => unknown, RegExp]>([
    ['ratio >200', () => image(data(bitmap(2010, 10))), /200/],
    ['a missing file', () => image('file:///nowhere/x.png'), /cannot be read: ENOENT/],
    ['non-image bytes', () => image(data(Buffer.from('<html>no picture</html>'))), /image/i],
    ['a page', () => image(`${base}/text`), /image/i],
    ['404', () => image(`${base}/none`), /127\.0\.0\.1:\d+ cannot be fetched: HTTP status 404/],
    ['a time-out', () => image(`${base}/slow`), new RegExp(`no answer in ${imageTimeoutMs} ms`)],
    ['no base64', () => image('data:image/png;base64,@@'), /not base64/],
    ['half a picture', () => image(data(golden('color6_8.png').subarray(0, 60))), /image/i],
  ])('%s → 400 with cause', async (_, part, message) => {
    const param = 'messages[0].content[1]';
    const told = (await refusal(asking(image(data(small)), part()))) as { message: string };
    expect(told).toMatchObject({ status: 400, type: 'BadRequestError', param });
    expect(told.message).toMatch(message);
    expect(told.message.startsWith(`${param}: `)).toBe(true);
  });
});
