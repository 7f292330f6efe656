// A built server with a store in a file: what the test of restarts kills. Its AI never answers, or answers at once. Says its
// address, then waits.
import { serveNode } from '../../build/worker/adapters/node.js';
import { sqliteStore } from '../../build/worker/adapters/node_store.js';
import { createWorker } from '../../build/worker/index.js';

const [file, how] = process.argv.slice(2);
const message = { role: 'assistant', content: 'done after a restart', tool_calls: [] };
const answer = {
  choices: [{ index: 0, message, finish_reason: 'stop' }],
  usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
};
const run = async (_model, _body, { onEvent }) => {
  if (how === 'hang') return new Promise(() => undefined);
  onEvent({ type: 'done', usage: answer.usage });
  return answer;
};
const worker = createWorker({ ai: { run }, store: await sqliteStore(file) });
const { url } = await serveNode(worker, { port: 0 });
console.log(url);
