// Owns `npm test`: sets up, builds everything and runs every check, one after another, and says at the end which
// failed. A failing part does not stop the next, except that tests need what they run to be built.
//   node tools/test.mjs [--only PART[,PART]...]       parts: see `parts` below
// Surprise: vitest runs twice where this Node has no relaxed SIMD, each time with the variants that Node can run.
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError, endWith, isMain, root, say } from './setup/io.mjs';
import { build, hostVariant, variants } from './build.mjs';
import { format } from './format.mjs';
import { lint } from './lint.mjs';
import { setup } from './setup.mjs';

/** Runs a command with its output shown and kept. Resolves to { passed, text }. */
function shown(command, args, env = {}) {
  return new Promise((accept, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes) => {
        process.stdout.write(bytes);
        text = (text + bytes).slice(-200_000);
      });
    }
    child.on('error', reject);
    child.on('close', (code) => accept({ passed: code === 0, text }));
  });
}

/** The lines with which ctest and vitest end, for the summary. */
function closing(text) {
  return (
    text.match(/^.*tests passed, .* failed out of \d+$|^ +(?:Tests|Test Files) {2}.*$/gm) ?? []
  );
}

/** How many tests a part ran: what its runner counted, else the part itself. */
function count({ passed, text = '' }) {
  const ctest = /(\d+) tests? failed out of (\d+)/.exec(text)?.slice(1).map(Number);
  if (ctest) {
    // ctest counts what a test itself skipped as passed.
    const skipped = (text.match(/\*\*\*(Skipped|Not Run)/g) ?? []).length;
    return { passed: ctest[1] - ctest[0] - skipped, failed: ctest[0], skipped };
  }
  const line = /^ +Tests {2}.*$/m.exec(text)?.[0];
  const number = (word) => Number(new RegExp(`(\\d+) ${word}`).exec(line ?? '')?.[1] ?? 0);
  if (line) {
    return { passed: number('passed'), failed: number('failed'), skipped: number('skipped') };
  }
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
}

async function ctest(preset) {
  await build([preset.replace(/^wasm-/, '')]);
  const args = ['--preset', preset, '--no-tests=error', '--output-on-failure', '--progress', '-j2'];
  const env = {
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1:allocator_may_return_null=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
  return shown('ctest', args, env);
}

async function vitest(node, names, more = []) {
  const args = ['node_modules/vitest/vitest.mjs', 'run', ...more];
  return shown(node, args, { OCELLI_VARIANTS: names.join(','), NO_COLOR: '1' });
}

const all = variants.map(({ name }) => name);
const runnable = hostVariant().endsWith('relaxed')
  ? all
  : all.filter((name) => !name.endsWith('relaxed'));
const rest = all.filter((name) => !runnable.includes(name));

/** name -> what it does; each resolves to { passed, text? } or throws. In the order they run. */
const parts = {
  format: async () => format(true).then(() => ({ passed: true })),
  lint: async () => lint().then((passed) => ({ passed })),
  types: async () =>
    shown(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.tests.json']),
  native: () => ctest('native'),
  asan: () => ctest('asan'),
  ...Object.fromEntries(all.map((name) => [`wasm-${name}`, () => ctest(`wasm-${name}`)])),
  vitest: async () => {
    await build(['native', ...all, 'js']); // tests/fuzz runs a native program
    return vitest(process.execPath, runnable);
  },
  'vitest-relaxed': async () => {
    if (rest.length === 0) return null;
    const { node_relaxed } = await build(['native', ...all, 'js']).then(() => setup(['tests']));
    return vitest(node_relaxed, rest);
  },
  clients: async () => {
    await build([hostVariant(), 'js'], ['ocelli']);
    return vitest(process.execPath, runnable, ['--config', 'tests/clients/vitest.config.mjs']);
  },
  runtimes: async () => {
    // What is packed, without the C++ tests.
    await build([...all, 'js'], ['ocelli']);
    await build(['st-simd128'], ['ocelli_convert']);
    return vitest(process.execPath, all, ['--config', 'tests/runtimes/vitest.config.ts']);
  },
};

async function main() {
  const [flag, names, ...more] = process.argv.slice(2);
  const chosen = flag === '--only' && names ? names.split(',') : Object.keys(parts);
  const unknown = chosen.filter((name) => !(name in parts));
  if ((flag && flag !== '--only') || (flag && !names) || more.length > 0 || unknown.length > 0) {
    say(
      `usage: node tools/test.mjs [--only PART[,PART]...]   parts: ${Object.keys(parts).join(' ')}`,
    );
    process.exit(2);
  }
  const started = performance.now();
  await setup(['native', 'emscripten', 'wasi', 'js', 'tests']);
  rmSync(join(root, 'build/containers'), { recursive: true, force: true }); // what tests converted
  const results = [];
  for (const name of chosen) {
    say(`\n=== ${name}`);
    const start = performance.now();
    let result;
    try {
      result = await parts[name]();
    } catch (error) {
      say(error instanceof SetupError ? error.message : error.stack);
      result = { passed: false };
    }
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    if (result) results.push({ name, seconds, ...result });
    else say(`nothing to do: the run before it covered all variants`);
  }
  report(results, started);
}

function report(results, started) {
  const lines = [
    '',
    `=== summary after ${((performance.now() - started) / 60_000).toFixed(1)} minutes`,
  ];
  for (const { name, passed, seconds, text } of results) {
    lines.push(`${passed ? 'passed' : 'FAILED'}  ${name} (${seconds} s)`);
    for (const line of closing(text ?? '')) lines.push(`        ${line.trim()}`);
  }
  const counts = results.map((result) => count(result));
  const sum = (key) => counts.reduce((total, each) => total + each[key], 0);
  const broken = results.filter(({ passed }) => !passed).length;
  const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : '';
  lines.push(`${sum('passed')} passed, ${Math.max(sum('failed'), broken)} failed${skipped}`);
  console.log(lines.join('\n'));
  process.exitCode = broken > 0 ? 1 : 0;
}

if (isMain(import.meta.url)) main().catch(endWith);
