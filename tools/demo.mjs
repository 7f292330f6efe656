// Owns `npm run demo`: sets up and builds only what this machine runs (one variant and js/), then shows the embedded
// model at work. Surprise: what is shown stands in models/demo/demo.json, each entry a title and the arguments of one
// `ocelli` command, printed as it would be typed.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { SetupError, endWith, isMain, readJson, root, say } from './setup/io.mjs';
import { build, hostVariant } from './build.mjs';

/** How an argument is typed in a shell. */
function quoted(argument) {
  return /^[\w./:=,-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

async function main() {
  const started = performance.now();
  const variant = hostVariant();
  await build([variant, 'js'], ['ocelli']);
  say(`ready after ${((performance.now() - started) / 1000).toFixed(0)} s, variant ${variant}`);
  const command = join(root, 'build/js/cli/main.js');
  for (const { title, args } of readJson(join(root, 'models/demo/demo.json')).runs) {
    console.log(`\n--- ${title}\n$ npx ocelli ${args.map(quoted).join(' ')}`);
    const { status } = spawnSync(process.execPath, [command, ...args], {
      cwd: root,
      stdio: 'inherit',
    });
    if (status !== 0) throw new SetupError(`ocelli ended with status ${status}`);
  }
}

if (isMain(import.meta.url)) main().catch(endWith);
