// Owns installing the clients, pinned by version and hash in this folder's package-lock.json. Run by vitest before the
// suites. Surprise: a lock file that has not changed since the last time costs nothing.
import { installLocked } from '../../tools/setup/npm.mjs';

export async function setup() {
  await installLocked(import.meta.dirname, 'clients');
}
