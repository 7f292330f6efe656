// Runware's caption over its WebSocket: authenticate, then tasks, each frame an array; replies are told apart by taskUUID.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WebSocket } from 'ws';

const address = process.argv[2] ?? process.env.OCELLI_SERVER ?? 'http://127.0.0.1:8000';
const apiKey = process.env.OCELLI_KEY ?? 'example';
const picture = readFileSync(
  new URL('../../models/demo/examples/street.png', import.meta.url),
  'base64',
);

const socket = new WebSocket(`${address.replace(/^http/, 'ws')}/v1`);
const send = (...tasks) => socket.send(JSON.stringify(tasks));

socket.on('open', () => send({ taskType: 'authentication', apiKey }));
socket.on('message', (bytes) => {
  console.log(bytes.toString());
  const { data = [], errors = [] } = JSON.parse(bytes.toString());
  if (data.some(({ taskType }) => taskType === 'authentication')) {
    send({ taskType: 'ping', ping: true });
    send({
      taskType: 'caption',
      taskUUID: randomUUID(),
      model: 'runware:152@1',
      prompt: 'Describe this image.',
      inputs: { image: `data:image/png;base64,${picture}` },
      includeCost: true,
    });
  }
  if (errors.length > 0 || data.some(({ text }) => text !== undefined)) socket.close();
});
