// Owns formatting: clang-format 19 for C++, prettier for the rest. `npm run format` writes, `--check` only looks.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, endWith, isMain, root, run, say } from './setup/io.mjs';
import { setup } from './setup.mjs';

function cppFiles() {
  return ['src', 'models', 'tests', 'wasm'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(h|cc)$/.test(name))
      .map((name) => join(folder, name)),
  );
}

/** Formats all files, or with `check` rejects when one is not formatted. */
export async function format(check) {
  const options = { cwd: root, show: true };
  await run(
    'clang-format-19',
    check ? ['--dry-run', '-Werror', ...cppFiles()] : ['-i', ...cppFiles()],
    options,
  );
  const mode = check ? '--check' : '--write';
  const prettier = ['node_modules/prettier/bin/prettier.cjs', mode, '--log-level', 'warn', '.'];
  await run(process.execPath, prettier, options);
}

if (isMain(import.meta.url)) {
  const mode = process.argv[2];
  if (mode !== '--write' && mode !== '--check') {
    say('usage: node tools/format.mjs --write|--check');
    process.exit(2);
  }
  setup(['js', 'tests'])
    .then(() => format(mode === '--check'))
    .catch((error) => endWith(new SetupError(error.message)));
}
