// What the loaded server holds, counted in its own process after a collection: loaded into it with --import, asked over its
// channel. Surprise: nothing else of the server is touched; the channel does not keep it alive.
import { readdirSync } from 'node:fs';

process.on('message', () => {
  for (let i = 0; i < 3; i++) globalThis.gc();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  const mib = (bytes) => bytes / 2 ** 20;
  const resources = process.getActiveResourcesInfo();
  process.send({
    rss_mib: mib(rss),
    heap_mib: mib(heapUsed),
    external_mib: mib(external),
    buffers_mib: mib(arrayBuffers),
    files: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
    sockets: resources.filter((name) => name === 'TCPSocketWrap').length,
    timers: resources.filter((name) => name === 'Timeout').length,
  });
});
process.channel?.unref();
