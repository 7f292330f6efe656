// Runware's SDK over its WebSocket against `ocelli serve`. Surprise: it has one call for this model, the caption, and gives that
// no other place for a prompt than among the inputs.
import { join } from 'node:path';
import { Runware } from '@runware/sdk-js';
import { expect, inject, it } from 'vitest';
import { cannot, cells, failure, packageAt, versionOf } from './cells.mjs';
import * as asked from './questions.mjs';
import { keys } from './server.mjs';

const { server, failing } = inject('at');
const types = join(packageAt('@runware/sdk-js'), 'dist/index.d.ts');
const model = 'runware:152@1';

/** What `use` makes of a client, which is then disconnected. */
async function withClient(use, { url = server.url, apiKey = keys.good } = {}) {
  const client = new Runware({
    ...{ url: `${url.replace('http', 'ws')}/v1`, apiKey },
    // Longer than any test: no answer is asked for twice because this machine is slow.
    ...{ timeoutDuration: 600_000, globalMaxRetries: 1, shouldReconnect: false },
  });
  try {
    return await use(client);
  } finally {
    await client.disconnect();
  }
}
const caption = (more = {}, words = {}) =>
  withClient((client) => client.caption({ model, inputImage: asked.pictureUrl, ...more }), words);

async function fails(expected, more, words) {
  const told = await failure(caption(more, words));
  expect(told.error).toMatchObject(expected);
}

const itsCaption = 'caption: (params: IRequestImageToText) => Promise<IImageToText>;';

cells('@runware/sdk-js', versionOf('@runware/sdk-js'), {
  async chat() {
    const inputs = { image: asked.pictureUrl, prompt: asked.picturePrompt };
    const { text, taskType, cost } = await caption({
      inputImage: undefined,
      inputs,
      includeCost: true,
    });
    expect(text).toMatch(asked.pictureAnswer);
    expect([taskType, typeof cost]).toEqual(['caption', 'number']);
  },
  stream: cannot(types, itsCaption),
  tools: cannot(types, itsCaption),
  async image() {
    expect((await caption()).text).toMatch(asked.pictureAnswer);
    expect((await caption({ deliveryMethod: 'async' })).text).toMatch(asked.pictureAnswer);
  },
  'JSON schema': cannot(types, itsCaption),
  400: () =>
    fails(
      { code: 'invalidImage', taskType: 'caption' },
      { inputImage: 'data:image/png;base64,AAAA' },
    ),
  401: () => fails({ code: 'invalidApiKey' }, {}, { apiKey: keys.unknown }),
  404: () => fails({ code: 'unsupportedModel' }, { model: 'runware:999@9' }),
  async 429() {
    await caption({}, { apiKey: keys.limited }).catch(() => undefined);
    await fails({ code: 'rateLimitExceeded' }, {}, { apiKey: keys.limited });
  },
  500: () => fails({ code: 'internalServerError' }, {}, { url: failing.url }),
  abort: cannot(types, itsCaption),
});

it('uploads an image and asks about it', async () => {
  const text = await withClient(async (client) => {
    const { imageUUID } = await client.imageUpload({ image: asked.pictureUrl });
    return (await client.caption({ model, inputImage: imageUUID })).text;
  });
  expect(text).toMatch(asked.pictureAnswer);
});
