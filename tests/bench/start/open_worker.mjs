// Owns the measured openings in a browser: pulls the model into the cache, then reads, reads and hashes, and opens it, by
// turns. Started by open.html. Surprise: imports by computed names, since /build and /report are folders of the server's.
const built = (name) => import(`/build/js/${name}`);
const { optionsOf, reportOf, tell } = await import(`${self.location.origin}/report/report.mjs`);
const { cache, threads, rounds } = optionsOf(self.location.href);
const model = new URL('/container/', self.location.href).href;

/** Calls `take` with all bytes of each shard in turn, at most 4 MB at a time. */
const readers = {
  async opfs(shards, take) {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle('ocelli');
    const buffer = new Uint8Array(4 << 20);
    for (const { sha256 } of shards) {
      const handle = await folder.getFileHandle(`${sha256}.safetensors`);
      const file = await handle.createSyncAccessHandle();
      let at = 0;
      for (let got; (got = file.read(buffer, { at })) > 0; at += got)
        await take(buffer.subarray(0, got));
      file.close();
    }
  },
  async 'cache-api'(_, take) {
    const entries = await caches.open('ocelli');
    for (const request of await entries.keys())
      if (request.url.includes('/piece/'))
        await take(new Uint8Array(await (await entries.match(request)).arrayBuffer()));
  },
};

async function measure() {
  const { createAI } = await built('index.js');
  const { pull } = await built('weights/pull.js');
  const { shards } = await (await fetch(new URL('manifest.json', model))).json();
  const start = performance.now();
  const { bytes } = await pull(model, { cache });
  await tell(`pulled ${bytes} bytes in ${Math.round(performance.now() - start)} ms`);
  const timed = async (work) => {
    const began = performance.now();
    await work();
    return performance.now() - began;
  };
  const samples = [];
  for (let round = 0; round < rounds; round++) {
    const one = { bytes };
    let come = 0;
    one.read = await timed(() => readers[cache](shards, (piece) => (come += piece.length)));
    if (come < bytes) throw new Error(`${come} of ${bytes} bytes are in the cache`);
    // The browser's own hash, which takes whole buffers only: a piece at a time is as much work.
    const hash = (piece) => crypto.subtle.digest('SHA-256', piece);
    one.hash = await timed(() => readers[cache](shards, hash));
    const ai = createAI({ model, threads, cache, context: 4096 });
    one.open = await timed(() => ai.info());
    await ai.close();
    await tell(JSON.stringify(one));
    samples.push(one);
  }
  return samples;
}

void reportOf(measure);
