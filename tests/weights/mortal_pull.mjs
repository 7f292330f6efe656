// One pull in a process of its own that kills itself right before its nth change to the disk: node mortal_pull.mjs JSON
// { url, options, dieAt, torn }. Run by faults.test.ts, with the built package. Surprise: `torn` lets half of the bytes of a
// write go through before the end, as a real kill may.
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { fileURLToPath } from 'node:url';

const { url, options, dieAt, torn } = JSON.parse(process.argv[2]);
let changes = 0;

/** Before a change; resolves only when there is another one to be lived to see. */
async function change(half) {
  if (changes++ !== dieAt) return;
  if (torn) await half?.();
  process.kill(process.pid, 'SIGKILL');
  await new Promise(() => undefined);
}

const open = files.open;
const probe = await open(fileURLToPath(import.meta.url));
const handles = Object.getPrototypeOf(probe);
await probe.close();
for (const name of ['mkdir', 'writeFile', 'rename', 'unlink', 'rm', 'link', 'utimes']) {
  const work = files[name];
  files[name] = async (...given) => {
    const half = () => work(given[0], String(given[1]).slice(0, 5), given[2]);
    await change(name === 'writeFile' && typeof given[1] === 'string' ? half : null);
    return await work(...given);
  };
}
files.open = async (path, flags, ...more) => {
  if (flags !== undefined && flags !== 'r') await change();
  return await open(path, flags, ...more);
};
for (const name of ['write', 'truncate', 'datasync']) {
  const work = handles[name];
  handles[name] = async function (...given) {
    const [bytes, from, length, at] = given;
    await change(name === 'write' ? () => work.call(this, bytes, from, length >> 1, at) : null);
    return await work.apply(this, given);
  };
}
syncBuiltinESMExports();

const { pull } = await import('../../build/js/weights/pull.js');
try {
  const pulled = await pull(url, options);
  console.log(JSON.stringify({ pulled, changes }));
} catch (error) {
  const { code, param, message } = error;
  console.log(JSON.stringify({ error: { code, param, message } }));
}
