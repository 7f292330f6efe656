// Owns the native peer: llama.cpp, built from a source distribution with this machine's flags, and its own benchmark
// programs. Called by peers.mjs. Surprise: on a CPU with AMX such a build multiplies prompts with it, which no wasm can. So
// there two peers share the programs, and each loads a CPU library of its own, with AMX and without, in place of theirs.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, component, root, run } from '../../../tools/setup/io.mjs';
import { pinned, prefix, sourceDistribution } from './fetch.mjs';
import { textModel, visionModel } from './gguf_models.mjs';
import { jsonLines, outputOf } from './process.mjs';

const packageName = 'llama-cpp-python';
const programs = ['llama-bench', 'llama-batched-bench', 'llama-mtmd-cli'];

export const nativeSource = () => sourceDistribution(packageName, 'vendor/llama.cpp');

/** Qwen's vocabulary, which comes with the source. */
export async function vocabulary() {
  return join(await nativeSource(), 'models/ggml-vocab-qwen2.gguf');
}

function flagsOf(cpu) {
  return new Set(/^flags\s*:(.*)$/m.exec(cpu)?.[1]?.trim().split(' ') ?? []);
}

const hasAmx = () => flagsOf(readFileSync('/proc/cpuinfo', 'utf8')).has('amx_int8');

/** Builds the targets; the folder's name has the CPU's flags in it, since the code does. */
async function build(name, options, targets) {
  const source = await nativeSource();
  const cpu = [...flagsOf(readFileSync('/proc/cpuinfo', 'utf8'))];
  const compiler = execFileSync('c++', ['--version'], { encoding: 'utf8' }).split('\n')[0];
  const key = { version: pinned('pypi', packageName), options, targets, cpu, compiler, layout: 1 };
  const title = `${name}: ${targets.join(', ')} (ten minutes or more)`;
  return component(prefix, `peer-${name}`, key, title, async (_, final) => {
    // Built where it stays: shared libraries are found by their full path.
    const folder = `${final}.build`;
    const common = [
      ...['-S', source, '-B', folder, '-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Release'],
      ...['-DGGML_NATIVE=ON', '-DBUILD_SHARED_LIBS=ON', '-DLLAMA_OPENSSL=OFF'],
      ...['TESTS', 'EXAMPLES', 'SERVER', 'APP'].map((part) => `-DLLAMA_BUILD_${part}=OFF`),
    ];
    await run('cmake', [...common, ...options]);
    await run('nice', ['-n', '19', 'cmake', '--build', folder, '-j2', '--target', ...targets]);
  }).then((final) => `${final}.build`);
}

/** The samples of a measure as peers.mjs wants them: [what, value]. */
async function measure(bin, environment, files, { what, threads, sizes }) {
  const call = (program, words) =>
    outputOf(join(bin, program), words.map(String), { env: { ...process.env, ...environment } });
  const found = [];
  const model = files.text[0];
  const speeds = ['prompt', 'decode'].filter((one) => what.includes(one));
  if (speeds.length > 0) {
    const of = (name, size) => (what.includes(name) ? size : 0);
    const sizesOf = ['-p', of('prompt', sizes.prompt), '-n', of('decode', sizes.new)];
    const { out } = await call('llama-bench', [
      ...['-m', model, '-t', threads, '-r', 1, '-o', 'jsonl', ...sizesOf],
    ]);
    for (const test of jsonLines(out))
      found.push([test.n_gen > 0 ? 'decode' : 'prompt', test.avg_ts]);
  }
  if (what.includes('batch')) {
    const each = ['-npp', 16, '-ntg', sizes.new, '-npl', sizes.batch];
    const context = sizes.batch * (16 + sizes.new + 16);
    const { out } = await call('llama-batched-bench', [
      ...['-m', model, '-t', threads, '-c', context, '--output-format', 'jsonl', ...each],
    ]);
    const [line] = jsonLines(out);
    if (!line) throw new SetupError(`llama-batched-bench gave no figures:\n${out.slice(-2000)}`);
    found.push(['batch', line.speed_tg]);
  }
  if (what.includes('image')) {
    const { out, err } = await call('llama-mtmd-cli', [
      ...['-m', files.short[0], '--mmproj', files.vision, '--image', files.picture],
      ...['-p', 'What is this?', '-n', 1, '-t', threads, '-c', 4096, '--no-warmup'],
    ]);
    const ms = /mtmd batch encoding done in (\d+) ms/.exec(out + err);
    if (!ms) throw new SetupError(`llama-mtmd-cli named no time:\n${(out + err).slice(-2000)}`);
    found.push(['image', Number(ms[1]) / 1000]);
  }
  return found;
}

/** What the CPU library is compiled with on a CPU with AMX; amx_tiles.h says why. */
const libraries = {
  amx: `-include ${join(root, 'tests/bench/peers/amx_tiles.h')}`,
  'no-amx': '-mno-amx-int8 -mno-amx-tile -mno-amx-bf16',
};

async function setUp(what, library) {
  const bin = join(await build('llama.cpp', [], programs), 'bin');
  const environment = {};
  if (hasAmx()) {
    const flags = libraries[library];
    const options = ['C', 'CXX'].map((language) => `-DCMAKE_${language}_FLAGS=${flags}`);
    const other = await build(`llama.cpp-${library}`, options, ['ggml-cpu']);
    environment.LD_LIBRARY_PATH = join(other, 'bin');
  }
  const words = await vocabulary();
  const files = { text: await textModel(36, words) };
  if (what.includes('image')) {
    files.short = await textModel(1, words);
    files.vision = await visionModel();
    files.picture = await picture(common.sizes.image);
  }
  return { run: (wanted) => measure(bin, environment, files, wanted) };
}

/** The picture that `ocelli bench` draws, as a file. */
async function picture(side) {
  const folder = join(root, 'build/bench/peers');
  const file = join(folder, `picture-${side}.png`);
  if (!existsSync(file)) {
    const { testPicture } = await import(join(root, 'build/js/cli/bench_image.js'));
    mkdirSync(folder, { recursive: true });
    writeFileSync(file, testPicture(side, 1));
  }
  return file;
}

const common = {
  host: 'node',
  tiers: ['relaxed', 'relaxed-256'],
  what: ['decode', 'prompt', 'batch', 'image'],
  sizes: { prompt: 512, new: 32, batch: 8, image: 896 },
  version: () => `of ${packageName} ${pinned('pypi', packageName)}`,
};

export const llamaCpp = {
  ...common,
  name: 'llama.cpp',
  note: 'native, all of this CPU, Q4_0',
  setUp: (what) => setUp(what, 'amx'),
};

export const llamaCppNoAmx = {
  ...common,
  name: 'llama.cpp-no-amx',
  note: 'native, without AMX, Q4_0',
  unfit: () => (hasAmx() ? null : 'this CPU has no AMX: it would be llama.cpp again'),
  setUp: (what) => setUp(what, 'no-amx'),
};
