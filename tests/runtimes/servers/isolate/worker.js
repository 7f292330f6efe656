// The server of ocelli/worker in workerd. Made with the first request: nothing may be begun before one.
import { made } from '../../servers/made.mjs';

let worker;

export default {
  fetch(request, env, context) {
    worker ??= made({ model: env.MODEL });
    return worker.fetch(request, context);
  },
};
