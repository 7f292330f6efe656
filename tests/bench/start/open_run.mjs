// Owns one measured opening in Node, in a process of its own: node open_run.mjs JSON; its answer is JSON on stdout, with
// milliseconds. Run by open.mjs. `what`: read (into one buffer), hash (the same, hashed) or open.
import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createAI } from '../../../build/js/index.js';

const { what, folder, threads } = JSON.parse(process.argv[2]);
const { shards } = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8'));
const started = performance.now();
let bytes = 0;
if (what === 'open') {
  const ai = createAI({ model: folder, threads, context: 4096 });
  await ai.info();
  bytes = shards.reduce((sum, one) => sum + one.bytes, 0);
} else {
  const buffer = Buffer.alloc(4 << 20);
  for (const { sha256 } of shards) {
    const file = await open(join(folder, `${sha256}.safetensors`));
    const hash = what === 'hash' ? createHash('sha256') : null;
    for (let got; (got = (await file.read(buffer)).bytesRead) > 0; bytes += got)
      hash?.update(buffer.subarray(0, got));
    if (hash && hash.digest('hex') !== sha256) throw new Error(`${sha256} is damaged`);
    await file.close();
  }
}
console.log(JSON.stringify({ bytes, [what]: performance.now() - started }));
process.exit(0);
