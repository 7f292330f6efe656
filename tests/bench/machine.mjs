// Owns the description of the machine that figures belong to. Used by run.mjs. Surprise: the load average is part of it;
// figures taken beside other work are worth little.
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';

/** CPU flags that decide which instructions an engine emits. */
const telling = [
  'avx2',
  'avx_vnni',
  'avx512_vnni',
  'avx512f',
  'avx_vnni_int8',
  'amx_int8',
  'asimddp',
];

function cpuFlags() {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
    return telling.filter((name) => flags.includes(name));
  } catch {
    return []; // not Linux
  }
}

export function machine(node) {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cpu_flags: cpuFlags(),
    cores: availableParallelism(),
    memory_bytes: totalmem(),
    os: `${platform()} ${release()}`,
    node: execFileSync(node, ['--version'], { encoding: 'utf8' }).trim(),
    load_average: loadavg()[0],
    date: new Date().toISOString(),
  };
}
