// A page's own worker that uses the package.
import { ask } from './asking.mjs';

self.onmessage = ({ data }) =>
  ask(data).then(
    (told) => self.postMessage({ told }),
    (error) => self.postMessage({ error: error.stack ?? String(error) }),
  );
