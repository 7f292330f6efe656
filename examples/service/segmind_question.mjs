// Segmind's own example in JavaScript: a question about an image, to the path that names the model. The server answers at
// its documented address too, which is the 32B model's there.
import { readFileSync } from 'node:fs';

const address = process.argv[2] ?? process.env.OCELLI_SERVER ?? 'http://127.0.0.1:8000';
const key = process.env.OCELLI_KEY ?? 'SG_example';
const picture = readFileSync(
  new URL('../../models/demo/examples/street.png', import.meta.url),
  'base64',
);

const response = await fetch(`${address}/v1/qwen2p5-vl-32b-instruct`, {
  method: 'POST',
  headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
  body: JSON.stringify({
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: "What's in this image?" },
          { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
        ],
      },
    ],
  }),
});
console.log(JSON.stringify(await response.json()));
