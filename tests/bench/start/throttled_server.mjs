// Owns a server of one container on loopback with a limited rate, for measuring starts. Run as a process of its own by
// start/cold.mjs: node throttled_server.mjs FOLDER MB_PER_S. Surprise: it shares the cores with what it serves, so it
// does as little as it can, a read and a write a piece, and answers /cpu with the time it took of them.
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';

const [folder, rate] = process.argv.slice(2);
/** Infinity: as fast as it goes. */
const bytesPerMs = rate === 'none' ? Infinity : Number(rate) * 1000;
const pieceBytes = 512 << 10;
/** What may go at once after a silence. */
const burstMs = 20;

/** Up to when all that was sent is paid for: one account for all connections. */
let paidMs = 0;

/** Waits until `bytes` more may go. */
async function turn(bytes) {
  const now = performance.now();
  paidMs = Math.max(paidMs, now - burstMs) + bytes / bytesPerMs;
  if (paidMs > now + 1) await new Promise((done) => setTimeout(done, paidMs - now));
}

async function send(file, response, from) {
  const buffers = [Buffer.allocUnsafe(pieceBytes), Buffer.allocUnsafe(pieceBytes)];
  let at = from;
  for (let n = 0; !response.destroyed; n++) {
    // What was written from this buffer before has left by now: write() below is awaited.
    const { bytesRead } = await file.read(buffers[n % 2], 0, pieceBytes, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    await turn(bytesRead);
    await new Promise((done) => {
      response.once('close', done);
      response.write(buffers[n % 2].subarray(0, bytesRead), () => {
        response.off('close', done);
        done();
      });
    });
  }
  response.end();
}

const server = createServer(async (request, response) => {
  response.on('error', () => undefined);
  const name = basename(new URL(request.url, 'http://host').pathname);
  if (name === 'cpu') {
    const { user, system } = process.cpuUsage();
    return response.end(JSON.stringify({ cpuMs: (user + system) / 1000 }));
  }
  const file = await open(join(folder, name)).catch(() => null);
  if (!file) return response.writeHead(404).end();
  try {
    const { size } = await file.stat();
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': size - from };
    if (from > 0) headers['content-range'] = `bytes ${from}-${size - 1}/${size}`;
    response.writeHead(from > 0 ? 206 : 200, headers);
    await send(file, response, from);
  } finally {
    await file.close();
  }
});
server.listen(0, '127.0.0.1', () => process.send?.(server.address().port));
process.on('disconnect', () => process.exit());
