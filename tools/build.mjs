// Owns `npm run build`: configures and builds targets by name, after the set-up they need. Used by the demo and the
// test runner too. Surprise: a target that is up to date costs a fraction of a second, so nobody has to remember.
//   node tools/build.mjs [native | asan | js | VARIANT]...      (all variants and js without arguments)
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { SetupError, endWith, isMain, readJson, root, run, step } from './setup/io.mjs';
import { setup } from './setup.mjs';

export const variants = readJson(join(root, 'wasm/variants.json')).variants;

/** The set-up parts that a target needs. */
function partsOf(target) {
  if (target === 'js') return ['js'];
  if (target === 'native' || target === 'asan') return ['native', 'tests'];
  const variant = variants.find(({ name }) => name === target);
  if (!variant) {
    const known = ['native', 'asan', 'js', ...variants.map(({ name }) => name)];
    throw new SetupError(`there is no target '${target}': ${known.join(', ')}`);
  }
  return [variant.toolchain];
}

/** The variant that this Node runs best: relaxed SIMD where it is on by default, threads always. */
export function hostVariant() {
  // (module (func (result v128) i32.const 0 i32x4.splat x3 i32x4.relaxed_dot_i8x16_i7x16_add_s))
  const splat = [0x41, 0, 0xfd, 0x11];
  const code = [0, ...splat, ...splat, ...splat, 0xfd, 0x93, 0x02, 0x0b];
  const probe = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0];
  const section = [10, code.length + 2, 1, code.length, ...code];
  const relaxed = WebAssembly.validate(new Uint8Array([...probe, ...section]));
  return relaxed ? 'mt-relaxed' : 'mt-simd128';
}

/** How many compilers run at once: one a core, and no more than memory carries. */
function jobs() {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 2 ** 31)));
}

async function cmake(preset, only) {
  const folder = join(root, 'build/cmake', preset);
  await step(`build ${preset}`, async (tell) => {
    const stale =
      existsSync(join(folder, 'CMakeCache.txt')) && !existsSync(join(folder, 'build.ninja'));
    if (stale) rmSync(folder, { recursive: true });
    if (!existsSync(join(folder, 'build.ninja'))) {
      await run('cmake', ['--preset', preset], { cwd: root });
    }
    const targets = only.length > 0 ? ['--target', ...only] : [];
    await run('cmake', ['--build', '--preset', preset, '-j', String(jobs()), ...targets], {
      cwd: root,
      heard(text) {
        const [, done, all] = [...text.matchAll(/^\[(\d+)\/(\d+)\]/gm)].at(-1) ?? [];
        if (done) tell(`${done} of ${all} files`);
      },
    });
  });
}

function newest(folder) {
  if (!existsSync(folder)) return 0;
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return files.reduce(
    (time, entry) =>
      Math.max(time, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs),
    0,
  );
}

async function typescript() {
  const built = join(root, 'build/js/.stamp');
  const folders = ['js', 'worker'];
  const sources = Math.max(
    ...folders.map((name) => newest(join(root, name))),
    statSync(join(root, 'tsconfig.json')).mtimeMs,
  );
  if (existsSync(built) && statSync(built).mtimeMs > sources) return undefined;
  return step('build js', async () => {
    for (const name of folders) rmSync(join(root, 'build', name), { recursive: true, force: true });
    await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'], { cwd: root });
    writeFileSync(built, '');
  });
}

/** Sets up and builds the targets, in their order; with `only`, just these CMake targets of them. */
export async function build(targets, only = []) {
  const found = await setup([...new Set(targets.flatMap(partsOf))]);
  for (const target of targets) {
    if (target === 'js') await typescript();
    else await cmake(target === 'native' || target === 'asan' ? target : `wasm-${target}`, only);
  }
  return found;
}

if (isMain(import.meta.url)) {
  const asked = process.argv.slice(2);
  build(asked.length > 0 ? asked : [...variants.map(({ name }) => name), 'js']).catch(endWith);
}
