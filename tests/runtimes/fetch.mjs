// Owns where each runtime comes from: npm and PyPI by version and sha256 (tools/pins.json), browsers from Debian. Called by
// set_up.mjs. Surprise: browsers are not pinned, since Debian keeps only the newest of each; the table names what ran.
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SetupError, component, run, sha256File, which } from '../../tools/setup/io.mjs';
import { unpackNpm } from '../../tools/setup/npm.mjs';
import { installSystem, pins } from '../../tools/setup/system.mjs';

const prefix = process.env.OCELLI_PREFIX ?? join(homedir(), '.cache', 'ocelli');

/** A program in an npm package that is named in pins.npm. */
function program(name, inside) {
  return async () => {
    const pin = pins.npm[name];
    const title = `${name} ${pin.version}`;
    const folder = await component(prefix, `runtime-${name}`, pin, title, (temporary) =>
      unpackNpm(name, temporary, [join('package', inside)]),
    );
    return { path: join(folder, inside), version: pin.version };
  };
}

/** The edge VM and what it needs, by their own names, beside each other in a node_modules. */
function edgeVm(vm, primitives) {
  const names = { [vm]: '@edge-runtime/vm', [primitives]: '@edge-runtime/primitives' };
  return async () => {
    const key = Object.keys(names).map((name) => pins.npm[name]);
    const { version } = pins.npm[vm];
    const title = `@edge-runtime/vm ${version}`;
    const path = await component(prefix, 'runtime-edge-vm', key, title, async (temporary) => {
      for (const [pin, name] of Object.entries(names)) {
        const folder = join(temporary, 'node_modules', name);
        mkdirSync(folder, { recursive: true });
        await unpackNpm(pin, folder);
      }
    });
    return { path, version };
  };
}

/** The folder to put on PYTHONPATH. */
async function wasmtime() {
  const { version, file, sha256 } = pins.pypi.wasmtime;
  const [name, want] = [file[process.arch], sha256[process.arch]];
  if (!name) throw new SetupError(`wasmtime ${version}: no package for ${process.arch} is pinned`);
  await installSystem(['python3', 'python3-pip']);
  const key = { name, want };
  const title = `wasmtime ${version}`;
  const path = await component(prefix, 'runtime-wasmtime', key, title, async (temporary) => {
    const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary', ':all:'];
    await run('python3', [...pip, '--dest', temporary, `wasmtime==${version}`]);
    const archive = join(temporary, name);
    const have = await sha256File(archive);
    if (have !== want)
      throw new SetupError(`wasmtime ${version}: sha256 ${have}, tools/pins.json says ${want}`);
    await run('python3', ['-m', 'zipfile', '-e', archive, temporary]);
    await run('rm', [archive]);
  });
  return { path, version };
}

/** A browser that is there, or Debian's. */
function browser(variable, commands, debian) {
  return async () => {
    const find = () => process.env[variable] ?? commands.map(which).find(Boolean);
    if (!find()) await installSystem([debian]);
    const path = find();
    if (!path) throw new SetupError(`${debian} is installed, but there is no ${commands[0]}`);
    const text = execFileSync(path, ['--version'], { encoding: 'utf8', stdio: 'pipe' });
    return { path, version: /[\d.]+\w*/.exec(text)?.[0] ?? text.trim() };
  };
}

/** How to get each runtime: { path, version }. */
export const runtimes = {
  'node 20': program('node20', 'bin/node'),
  'node 22': program('node22', 'bin/node'),
  'node 24': program('node24', 'bin/node'),
  'node 26': program('node26', 'bin/node'),
  deno: program('deno', 'deno'),
  bun: program('bun', 'bin/bun'),
  workerd: program('workerd', 'bin/workerd'),
  'edge-vm': edgeVm('edge-vm', 'edge-primitives'),
  // With the primitives that the hosted platform's local development has.
  'edge-vm 3': edgeVm('edge-vm-3', 'edge-primitives-4'),
  wasmtime,
  chromium: browser('CHROMIUM', ['chromium', 'chromium-browser', 'google-chrome'], 'chromium'),
  firefox: browser('FIREFOX', ['firefox-esr', 'firefox'], 'firefox-esr'),
};
