// Owns the utility routes of vLLM's server. Called by app.ts through all.ts.
import type { App, Mount, WorkerContext } from '../context.ts';

export const vllm: Mount = (app: App, { queue }: WorkerContext) => {
  const alive = (): Response => new Response(null, { status: 200 });
  app.get('/health', alive);
  app.on(['GET', 'POST'], '/ping', alive);
  app.get('/load', (c) => c.json({ server_load: queue.running + queue.waiting }));
};
