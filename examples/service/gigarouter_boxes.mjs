// gigarouter: an image in base64 to its OpenAI endpoint, boxes out of the answer. A key that begins with "gr-" is how the
// server knows that errors are to be gigarouter's.
import { readFileSync } from 'node:fs';

const address = process.argv[2] ?? process.env.OCELLI_SERVER ?? 'http://127.0.0.1:8000';
const key = process.env.OCELLI_KEY ?? 'gr-example';
const picture = readFileSync(
  new URL('../../models/demo/examples/shapes.png', import.meta.url),
  'base64',
);

const response = await fetch(`${address}/v1/chat/completions`, {
  method: 'POST',
  headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  body: JSON.stringify({
    model: 'Qwen/Qwen2.5-VL-3B-Instruct',
    temperature: 0,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
          {
            type: 'text',
            text: 'Detect all objects and output their bounding boxes in JSON format.',
          },
        ],
      },
    ],
  }),
});
const reply = await response.json();
console.log(JSON.stringify(reply));
if (!response.ok) process.exit(1);

// The model writes a fenced block: [{"bbox_2d": [left, top, right, bottom], "label": "..."}]
const [, fenced] = /```json\n(.*?)```/s.exec(reply.choices[0].message.content);
console.log(JSON.stringify(JSON.parse(fenced)));
