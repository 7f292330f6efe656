// Owns where the clients come from that npm's lock file does not hold: one npm package without its dependencies, and those of
// PyPI. Called by set_up.mjs. Surprise: Python's packages lie in folders for PYTHONPATH, one for each file of python/*.txt,
// so that no virtual environment is needed and two clients may want two versions of a third.
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { component, output, run } from '../../tools/setup/io.mjs';
import { unpackNpm } from '../../tools/setup/npm.mjs';
import { installSystem, pins } from '../../tools/setup/system.mjs';

const prefix = process.env.OCELLI_PREFIX ?? join(homedir(), '.cache', 'ocelli');

/** The client in Azion's package: { path, version }. */
export async function azion() {
  const pin = pins.npm.azion;
  const title = `azion ${pin.version}`;
  const path = await component(prefix, 'client-azion', pin, title, (temporary) =>
    unpackNpm('azion', temporary, ['package/packages/ai']),
  );
  return { path: join(path, 'packages/ai'), version: pin.version };
}

/** What python/NAME.txt pins, by version and hash, wheels only: the folder to put on PYTHONPATH. */
export async function python(name) {
  await installSystem(['python3', 'python3-pip']);
  const file = join(import.meta.dirname, 'python', `${name}.txt`);
  // Some of them are made for one version of Python.
  const key = { wanted: readFileSync(file, 'utf8'), python: output('python3', ['--version']) };
  return await component(prefix, `clients-python-${name}`, key, `Python: ${name}`, (temporary) =>
    run('python3', [
      ...['-m', 'pip', 'install', '--quiet', '--no-deps', '--require-hashes', '--no-compile'],
      ...['--only-binary', ':all:', '--target', temporary, '--requirement', file],
    ]),
  );
}
