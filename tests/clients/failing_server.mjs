// A server whose engine is real and cannot compute: a byte of its weights is another, which is found when they are read at the
// first request, and again at each. Started by server.mjs. `ocelli serve` itself would not start with such weights.
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAI } from '../../build/js/index.js';
import { serveNode } from '../../build/worker/adapters/node.js';
import { createWorker } from '../../build/worker/index.js';

const model = mkdtempSync(join(tmpdir(), 'ocelli-'));
cpSync('models/demo/container', model, { recursive: true });
const shard = join(
  model,
  readdirSync(model).find((name) => name.endsWith('.safetensors')),
);
const bytes = readFileSync(shard);
bytes[bytes.length - 100] ^= 1;
writeFileSync(shard, bytes);

const ai = createAI({ model, models: 'any' });
const server = await serveNode(createWorker({ ai }), { port: 0 });
process.on('SIGTERM', async () => {
  await server.close(0);
  await ai.close();
  rmSync(model, { recursive: true });
});
process.stderr.write(`listening at ${server.url}/v1\nready: nothing\n`);
