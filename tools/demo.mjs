// Owns `npm run demo`: sets up and builds only what this machine runs (one variant and js/), then shows the embedded
// model at work. Surprise: what is shown stands in models/demo/show.mjs, which needs no more than the built package.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { SetupError, endWith, isMain, root, say } from './setup/io.mjs';
import { build, hostVariant } from './build.mjs';

async function main() {
  const started = performance.now();
  const variant = hostVariant();
  await build([variant, 'js'], ['ocelli']);
  say(`ready after ${((performance.now() - started) / 1000).toFixed(0)} s, variant ${variant}`);
  const { status } = spawnSync(process.execPath, [join(root, 'models/demo/show.mjs')], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) throw new SetupError(`the demo ended with status ${status}`);
}

if (isMain(import.meta.url)) main().catch(endWith);
