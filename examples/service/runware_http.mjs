// Runware's caption over HTTP, as its page has it: an array with one task, one object of data for it. The task is sent once
// more to be done later, and asked for until it is.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

const address = process.argv[2] ?? process.env.OCELLI_SERVER ?? 'http://127.0.0.1:8000';
const key = process.env.OCELLI_KEY ?? 'example';
const picture = readFileSync(
  new URL('../../models/demo/examples/street.png', import.meta.url),
  'base64',
);

async function send(...tasks) {
  const response = await fetch(`${address}/v1`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(tasks),
  });
  return await response.json();
}

const task = {
  taskType: 'caption',
  model: 'runware:152@1',
  prompt: 'Describe this image.',
  inputs: { image: `data:image/png;base64,${picture}` },
  includeCost: true,
};
console.log(JSON.stringify(await send({ ...task, taskUUID: randomUUID() })));

const taskUUID = randomUUID();
console.log(JSON.stringify(await send({ ...task, taskUUID, deliveryMethod: 'async' })));
for (;;) {
  const reply = await send({ taskType: 'getResponse', taskUUID });
  if (reply.data[0]?.status !== 'processing') {
    console.log(JSON.stringify(reply));
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 250));
}
