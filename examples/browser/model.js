// Owns the engine of the page: opens it, shows how far its weights are and where they are kept. Called by page.js. Surprise:
// questions need not wait for any of this; the engine takes them while its weights still come.
import { createAI, demoModel, openCache } from '../../build/js/index.js';
import { count, describe, megabytes, mebibytes, timeLeft } from './figures.js';
import { byId, say } from './places.js';

/** What the address asks for: ?model=URL &threads=N &variant=NAME &cache=auto|opfs|cache-api|memory|none */
function wanted() {
  const asked = new URL(location.href).searchParams;
  const model = asked.get('model');
  return {
    model: model ? new URL(model, location.href).href : demoModel.href,
    cache: asked.get('cache') ?? 'auto',
    ...(asked.has('threads') && { threads: Number(asked.get('threads')) }),
    ...(asked.has('variant') && { variant: asked.get('variant') }),
  };
}

/** The text under the bar. `more` is the third value of onProgress. */
export function progressText(bytes, total, { fetched, bytesPerSecond, secondsLeft, ready }) {
  const words = [`${megabytes(bytes)} of ${megabytes(total)}`];
  if (bytes > fetched) words.push(`${megabytes(bytes - fetched)} of it from the cache`);
  if (bytes < total && bytesPerSecond > 0) words.push(`${megabytes(bytesPerSecond)}/s`);
  if (bytes < total && secondsLeft !== null) words.push(`${timeLeft(secondsLeft)} left`);
  const parts = ready.vision ? 'vision ready' : 'vision not ready yet';
  words.push(`${parts}, ${ready.layers} of ${count(ready.totalLayers, 'layer')}`);
  return words.join(' · ');
}

/** Opens the model and shows it; resolves to nothing. The AI is there at once. */
export function openModel() {
  const options = wanted();
  const start = performance.now();
  let last;
  const ai = createAI({
    ...options,
    onProgress(bytes, total, more) {
      last = { bytes, total, more };
      byId('load').max = total;
      byId('load').value = bytes;
      byId('load-text').textContent = progressText(bytes, total, more);
    },
  });

  async function load() {
    const card = byId('model');
    card.dataset.state = 'loading';
    byId('load-again').hidden = true;
    byId('model-title').textContent = 'Loading the model';
    say('Loading the model');
    try {
      const info = await ai.info();
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      card.dataset.state = 'ready';
      byId('model-title').textContent = info.model;
      byId('load-text').textContent = '';
      describe(byId('facts'), factsOf(info, last, seconds));
      say(`The model is ready after ${seconds} seconds, with ${count(info.threads, 'thread')}`);
    } catch (error) {
      card.dataset.state = 'failed';
      byId('model-title').textContent = 'The model cannot be loaded';
      byId('load-text').textContent = error.message;
      byId('load-again').hidden = false;
      say(`The model cannot be loaded: ${error.message}`);
    }
    await showCache(options, last?.more.fetched);
  }
  byId('load-again').addEventListener('click', load);
  byId('forget').addEventListener('click', () => forget(options));
  void showCache(options).then(load);
  return ai;
}

function factsOf({ variant, threads, precision, plan, context }, last, seconds) {
  const alone = self.crossOriginIsolated ? '' : ' (page not isolated)';
  return [
    ['Build', variant],
    ['Threads', `${threads}${alone}`],
    ['Memory', mebibytes(plan.total_bytes)],
    ['Weights', `${megabytes(last?.total ?? plan.weights_bytes)} ${precision.linear}`],
    ['Context', count(context, 'token')],
    ['Loaded in', `${seconds} s`],
  ];
}

const kinds = {
  opfs: 'this browser’s private files',
  'cache-api': 'this browser’s cache',
  memory: 'memory, until the page is closed',
};

/** The model in the cache, and the cache; nulls where there is none. */
async function kept({ cache, model }) {
  if (cache === 'none') return { cache: null, found: null };
  const opened = await openCache(cache).catch(() => null);
  const url = model.replace(/\/?(manifest\.json)?([?#].*)?$/, '/');
  const models = (await opened?.list().catch(() => [])) ?? [];
  return { cache: opened, found: models.find((one) => one.url === url) ?? null };
}

/** Says what is kept; `fetched`: how many bytes came over the network in this session. */
async function showCache(options, fetched) {
  const { cache, found } = await kept(options);
  const where = cache ? (kinds[cache.kind] ?? cache.where) : null;
  const parts = [];
  if (fetched === 0) parts.push('Nothing was downloaded this time.');
  else if (fetched) parts.push(`${megabytes(fetched)} downloaded.`);
  if (!where) parts.push('Nothing is kept for the next visit.');
  else if (!found) parts.push('Not kept in this browser yet.');
  else if (found.shards < found.totalShards)
    parts.push(`${megabytes(found.bytes)} of ${megabytes(found.totalBytes)} kept in ${where}.`);
  else parts.push(`${megabytes(found.totalBytes)} kept in ${where}.`);
  byId('cache-text').textContent = parts.join(' ');
  byId('forget').hidden = !found;
}

/** Removes the download; the open engine goes on. */
async function forget(options) {
  const { cache } = await kept(options);
  try {
    const freed = await cache.remove(options.model);
    await showCache(options);
    say(`Removed ${megabytes(freed)} from this browser`);
    byId('question').focus();
  } catch (error) {
    byId('cache-text').textContent = error.message;
  }
}
