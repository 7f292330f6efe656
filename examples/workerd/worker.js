// A worker for workerd: AI.run, answered as a stream. `ocelli` is the package's entry for workerd, which imports the
// compiled module; the weights come from the address in the binding MODEL. With bindings OCELLI_REMOTE_URL and so on an
// endpoint answers instead, or where the model does not fit.
import { createAI, environmentOptions } from 'ocelli';

let ai;

export default {
  async fetch(request, env, context) {
    ai ??= createAI({ model: env.MODEL, ...environmentOptions(env) });
    // The weights go on loading for the next request when this one is given up.
    context.waitUntil(ai.info().catch(() => undefined));
    const { model, ...body } = await request.json();
    try {
      const answer = await ai.run(model, body, { signal: request.signal });
      return answer instanceof Response ? answer : Response.json(answer);
    } catch (error) {
      return Response.json({ error: error.message }, { status: error.status ?? 500 });
    }
  },
};
