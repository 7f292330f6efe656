// Stands for the platform in the edge VM: compiled modules, arguments, and the events that the platform has beyond fetch.
// Bundled before each function of this folder. Surprise: it is all that functions written for the hosted service need here;
// they know of no `ocelli`.
import wasm from 'ocelli/wasm/st-simd128/ocelli.wasm';
import { install } from 'ocelli';

install({ wasm, model: globalThis.MODEL, ...globalThis.OPTIONS });

const listen = globalThis.addEventListener;
globalThis.addEventListener = (type, listener) => {
  if (type !== 'fetch' && type !== 'firewall') return listen(type, listener);
  return listen('fetch', (event) => {
    event.args = globalThis.ARGS;
    if (type === 'firewall') {
      const answer = (status) => (settle) => () => settle(new Response(null, { status }));
      event.respondWith(
        new Promise((settle) => {
          event.deny = answer(403)(settle);
          event.continue = answer(204)(settle);
        }),
      );
    }
    return listener(event);
  });
};
