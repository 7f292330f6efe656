// Owns the page that browsers open: asks here or in a worker, and posts what it has found, or what went wrong. Its options
// stand in the address: { where: 'page' | 'worker', options: those of createAI, starts: how often }.
import { ask } from './asking.mjs';

const post = (path, text) => fetch(path, { method: 'POST', body: text });
const fail = (error) => post('/failure', error?.stack ? `${error}\n${error.stack}` : String(error));

function inWorker(options) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('worker.mjs', import.meta.url), { type: 'module' });
    worker.onerror = (event) => reject(new Error(event.message || 'the worker failed to start'));
    worker.onmessage = ({ data }) => (data.error ? reject(data.error) : resolve(data.told));
    worker.postMessage(options);
  });
}

document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
  fail(`content-security-policy: ${violatedDirective} ${blockedURI}`),
);
const {
  where,
  options,
  starts = 1,
} = JSON.parse(decodeURIComponent(self.location.search.slice(1)));

async function askAll() {
  for (let start = 1; start < starts; start++) await ask(options);
  return await (where === 'worker' ? inWorker(options) : ask(options));
}

askAll().then(
  (told) => post('/result', JSON.stringify({ ...told, agent: navigator.userAgent })),
  fail,
);
