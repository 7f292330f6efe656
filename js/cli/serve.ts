// Owns `ocelli serve`: the HTTP server on this machine's port. Called by main.ts. Surprise: it listens before the model is
// loaded, since the engine takes requests before its weights are all there; /health says 503 until they are.
import { createWorker } from '../../worker/app.ts';
import { serveNode } from '../../worker/adapters/node.ts';
import { sqliteStore } from '../../worker/adapters/node_store.ts';
import { nodeImageFetch } from '../../worker/adapters/node_images.ts';
import { type KeyEntry, newKey, sha256Hex } from '../../worker/keys.ts';
import { defaultLimits } from '../../worker/limits.ts';
import { jsonLog } from '../../worker/log.ts';
import { parseKeys } from '../../worker/schemas.ts';
import { type Given, UsageError } from './arguments.ts';
import { hostIn, originIn } from './hosts.ts';
import { adaptersIn, aiOf, progressLine, readText, say } from './io.ts';

export async function serve(given: Given): Promise<number> {
  if (given.flag('new-key')) return await showNewKey();
  const keys = await keysOf(given);
  const names = given.texts('name');
  const adapters = adaptersIn(given);
  const number = (name: string, fallback: number, unit = 1): number =>
    given.number(name) === undefined ? fallback : (given.number(name) as number) * unit;
  const limits = {
    ...defaultLimits,
    bodyBytesMax: number('body-mib', defaultLimits.bodyBytesMax, 2 ** 20),
    imagesMax: number('images', defaultLimits.imagesMax),
    runningMax: number('running', defaultLimits.runningMax),
    waitingMax: number('waiting', defaultLimits.waitingMax),
    requestMs: number('deadline', defaultLimits.requestMs, 1000),
  };
  const hosts = given.texts('image-host').map((host) => hostIn(host) ?? host);
  const outboundRules = { allowPrivate: given.flag('private-images') };
  const file = given.text('store');
  const store = file === undefined ? undefined : await sqliteStore(file);
  const imageMib = given.number('image-mib');
  const imageSeconds = given.number('image-seconds');
  const ai = aiOf(given, {
    models: names,
    sequencesMax: Math.min(64, limits.runningMax),
    fileImages: false,
    promptTokensDetails: given.flag('prompt-tokens-details'),
    imageFetch: nodeImageFetch({ ...outboundRules, ...(hosts.length > 0 && { hosts }) }),
    ...(imageMib !== undefined && { imageBytesMax: imageMib * 2 ** 20 }),
    ...(imageSeconds !== undefined && { imageTimeoutMs: imageSeconds * 1000 }),
    onProgress: progressLine(),
  });
  const origins = given.texts('origin').map((origin) => originIn(origin) ?? origin);
  const worker = createWorker({
    ...{ ai, models: names, keys, limits, outboundRules },
    outbound: nodeImageFetch(outboundRules),
    ...(store && { store }),
    runtimeAdapters: given.flag('allow-adapters'),
    usdPerMillionTokens: number('price', 0),
    ...(!given.flag('quiet') && { log: jsonLog((line) => process.stdout.write(line)) }),
    ...(origins.length > 0 && !origins.includes('*') && { origins }),
  });
  const server = await serveNode(worker, {
    host: given.text('host') ?? '127.0.0.1',
    port: given.number('port') ?? 8000,
  });
  say(`listening at ${server.url}/v1 (${server.url}/docs to try it)`);
  if (keys.length === 0 && !/^http:\/\/(127\.|\[::1\])/.test(server.url))
    say('warning: whoever reaches this address may use it; --api-key or --keys asks for a key');
  const ended = endOf(given, server);
  // What cannot be loaded cannot be served.
  const failed = worker.open().then(
    async ({ model }) => {
      for (const { name, from } of adapters) await worker.context.adapters.load(name, from);
      say(`ready: ${model}`);
      return new Promise<never>(() => undefined);
    },
    (error: unknown) => Promise.reject(error),
  );
  try {
    await Promise.race([ended, failed]);
  } catch (error) {
    await server.close(0);
    throw error;
  } finally {
    await ai.close();
    await store?.close();
  }
  return 0;
}

/** Resolves when a signal has ended the server: the first lets streams finish, the second ends them. */
function endOf(given: Given, server: { close(graceMs: number): Promise<void> }): Promise<void> {
  return new Promise((resolve, reject) => {
    let signals = 0;
    const end = (): void => {
      if (++signals > 1) {
        say('stopped');
        process.exit(1);
      }
      const seconds = given.number('drain') ?? 30;
      say(`finishing what runs, for ${seconds} s at most; once more to stop now`);
      server.close(seconds * 1000).then(resolve, reject);
    };
    process.on('SIGINT', end);
    process.on('SIGTERM', end);
  });
}

async function showNewKey(): Promise<number> {
  const key = newKey();
  say(`the key, shown once: ${key}`);
  const entry: KeyEntry = { name: 'someone', sha256: await sha256Hex(key) };
  process.stdout.write(`${JSON.stringify(entry)}\n`);
  return 0;
}

/** The keys of --api-key, of OCELLI_API_KEYS and of --keys. */
async function keysOf(given: Given): Promise<KeyEntry[]> {
  const plain = [
    ...given.texts('api-key'),
    ...(process.env['OCELLI_API_KEYS'] ?? '').split(',').filter((key) => key.trim() !== ''),
  ];
  const entries: KeyEntry[] = [];
  for (const [i, key] of plain.entries())
    entries.push({ name: `key ${i + 1}`, sha256: await sha256Hex(key.trim()) });
  const file = given.text('keys');
  if (file === undefined) return entries;
  let value: unknown;
  try {
    value = JSON.parse(await readText(file));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError(`--keys ${file} is not JSON: ${error.message}`);
  }
  return [...entries, ...parseKeys(value)];
}
