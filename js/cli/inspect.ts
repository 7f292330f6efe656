// Owns `ocelli inspect`: what a container holds and the memory it would take. Called by main.ts. Surprise: the plan comes
// from the core itself, so it is the one that a later run follows.
import { loadCore } from '../abi/load.ts';
import { demoModel } from '../ai.ts';
import { parseManifest } from '../weights/manifest.ts';
import { type Manifest, sourceFrom } from '../weights/source.ts';
import type { Given } from './arguments.ts';

export async function inspect(given: Given): Promise<number> {
  const [folder] = given.operands;
  const context = given.number('context');
  const bytes = await sourceFrom(folder ?? demoModel).manifest();
  const manifest = parseManifest(bytes);
  const core = await loadCore({ threads: 1 });
  const plan = core.calls.plan(bytes, context === undefined ? {} : { context });
  await core.stop();
  const sizes = sizesOf(manifest);
  if (given.flag('json')) {
    const { name, config, precision, shards } = manifest;
    const weightsBytes = shards.reduce((sum, shard) => sum + shard.bytes, 0);
    const shown = {
      name,
      config,
      precision,
      shards: shards.length,
      weights_bytes: weightsBytes,
      sizes,
      plan,
    };
    process.stdout.write(`${JSON.stringify(shown, null, 2)}\n`);
  } else process.stdout.write(page(manifest, sizes, plan));
  return 0;
}

/** Bytes of shards by what they hold; a shard with several things counts for their joined name. */
function sizesOf({ shards }: Manifest): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const { holds, bytes } of shards) {
    const kinds = new Set(holds.map((name) => (name.startsWith('layer.') ? 'layers' : name)));
    const key = [...kinds].join('+');
    sizes[key] = (sizes[key] ?? 0) + bytes;
  }
  return sizes;
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function page(
  { name, config, precision, shards }: Manifest,
  sizes: Record<string, number>,
  plan: unknown,
): string {
  const { text } = config;
  const total = shards.reduce((sum, shard) => sum + shard.bytes, 0);
  const lines = [
    `${name}: ${text.layers} layers, hidden ${text.hidden}, vocabulary ${text.vocab}, context up to ${text.context}`,
    `precision: layers ${precision.linear}, vision ${precision.vision}, embedding ${precision.embedding}`,
    '',
    `weights: ${mib(total)} in ${shards.length} shard${shards.length === 1 ? '' : 's'}`,
    ...Object.entries(sizes).map(
      ([what, bytes]) => `  ${what.padEnd(28)} ${mib(bytes).padStart(12)}`,
    ),
    '',
    'memory plan:',
    ...planLines(plan, '  '),
  ];
  return `${lines.join('\n')}\n`;
}

function planLines(plan: unknown, indent: string): string[] {
  if (typeof plan !== 'object' || plan === null) return [`${indent}${String(plan)}`];
  return Object.entries(plan).flatMap(([key, value]) => {
    if (typeof value === 'object' && value !== null)
      return [`${indent}${key}`, ...planLines(value, `${indent}  `)];
    const shown = key.split('_').includes('bytes') ? mib(Number(value)) : String(value);
    return [`${indent}${key.padEnd(30 - indent.length)} ${shown.padStart(12)}`];
  });
}
