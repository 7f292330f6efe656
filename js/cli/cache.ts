// Owns `ocelli cache`: what is in the cache, whether it is whole, and how it goes. Called by main.ts. Surprise: verify ends
// with 1 when something was damaged, though that is mended by then: it is gone, and will be fetched again.
import { openCache, type WeightsCache } from '../weights/cache/open.ts';
import type { CachedModel } from '../weights/cache/library.ts';
import { type Given, UsageError } from './arguments.ts';
import { drawLine, mib, say } from './io.ts';
import { stopSignal } from './stop.ts';

export async function cache(given: Given): Promise<number> {
  const [action = '', model] = given.operands;
  const work = actions[action];
  if (!work) {
    const known = Object.keys(actions).join(', ');
    throw new UsageError(`there is no action ${JSON.stringify(action)}: ${known}`);
  }
  if (model !== undefined && (action === 'list' || action === 'size'))
    throw new UsageError(`unexpected operand ${JSON.stringify(model)}`);
  if (given.flag('unused') && (action !== 'remove' || model !== undefined))
    throw new UsageError('--unused goes with remove alone');
  if (action === 'remove' && model === undefined && !given.flag('unused'))
    throw new UsageError('remove needs a MODEL, or --unused');
  const directory = given.text('cache');
  const opened = await openCache(directory === undefined ? 'fs' : { directory });
  return await work(opened, given, model);
}

type Action = (cache: WeightsCache, given: Given, model?: string) => Promise<number>;

const actions: Record<string, Action> = {
  async list(opened, given) {
    const models = await opened.list();
    if (given.flag('json')) print(models);
    else if (models.length === 0) process.stdout.write(`nothing in ${opened.where}\n`);
    else process.stdout.write(models.map(line).join(''));
    return 0;
  },

  async size(opened, given) {
    const { bytes, free } = await opened.size();
    if (given.flag('json')) print({ where: opened.where, bytes, free });
    else {
      const left = free === null ? '' : `, ${mib(free)} MiB free`;
      process.stdout.write(`${mib(bytes)} MiB in ${opened.where}${left}\n`);
    }
    return 0;
  },

  async verify(opened, given, model) {
    const progress = (bytes: number, total: number): void => {
      if (process.stderr.isTTY) drawLine(`verifying ${mib(bytes)} of ${mib(total)} MiB`);
    };
    const found = await opened.verify(model, { progress, signal: stopSignal() });
    if (process.stderr.isTTY) drawLine('');
    if (given.flag('json')) print(found);
    else {
      for (const { file, found: sha256 } of found.damaged)
        say(`${file} has the sha256 ${sha256}: removed, it is fetched again when needed`);
      const { checked, damaged } = found;
      process.stdout.write(`${checked} shards hashed, ${damaged.length} damaged\n`);
    }
    return found.damaged.length > 0 ? 1 : 0;
  },

  async remove(opened, given, model) {
    const freed = model === undefined ? await opened.removeUnused() : await opened.remove(model);
    if (given.flag('json')) print({ freed });
    else process.stdout.write(`${mib(freed)} MiB freed\n`);
    return 0;
  },
};

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function line({ name, kind, url, bytes, totalBytes, used }: CachedModel): string {
  const size =
    bytes === totalBytes ? `${mib(bytes)} MiB` : `${mib(bytes)} of ${mib(totalBytes)} MiB`;
  const day = used.toISOString().slice(0, 16).replace('T', ' ');
  const what = kind === 'adapter' ? `${name} (adapter)` : name;
  return `${what}  ${size}  used ${day}  ${url}\n`;
}
