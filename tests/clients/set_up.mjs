// Owns what the suites share: the clients, installed (npm's by this folder's package-lock.json, the others by fetch.mjs), and
// two servers. Run by vitest before the suites; after them the servers are ended and the table is written. Surprise: what
// is installed and has not changed costs nothing.
import { rmSync } from 'node:fs';
import { installLocked } from '../../tools/setup/npm.mjs';
import { place } from './columns.mjs';
import { azion, python } from './fetch.mjs';
import { startFailing, startKeyed } from './server.mjs';
import { writeTable } from './table.mjs';

/** `project` hands on what suites inject(): the addresses of the servers. */
export async function setup(project) {
  rmSync(place, { recursive: true, force: true });
  await installLocked(import.meta.dirname, 'clients');
  const environments = { openai: await python('openai'), litellm: await python('litellm') };
  project.provide('fetched', { azion: await azion(), python: environments });
  const [server, failing] = await Promise.all([startKeyed(), startFailing()]);
  project.provide('at', { server: { url: server.url }, failing: { url: failing.url } });
  return async () => {
    const statuses = [await server.stop(), await failing.stop()];
    writeTable();
    if (statuses.some((status) => status !== 0))
      throw new Error(`the servers ended with ${statuses.join(' and ')}: ${server.said}`);
  };
}
