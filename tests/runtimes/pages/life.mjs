// Owns a page that life.test.ts drives: it opens engines, asks, and remembers the workers that are started. Surprise: the test
// calls what hangs on `life`; nothing here runs by itself.
const { createAI, OcelliError } = await import('/node_modules/ocelli/build/js/index.js');

const workers = [];
globalThis.Worker = class extends Worker {
  constructor(...values) {
    super(...values);
    workers.push(this);
  }
};

const body = (tokens) => ({
  messages: [{ role: 'user', content: 'Hello' }],
  ...{ max_tokens: tokens, ignore_eos: true, temperature: 0 },
});
const failed = (error) =>
  error instanceof OcelliError ? `${error.status} ${error.code} ${error.message}` : String(error);
const count = ({ usage }) => usage.completion_tokens;

globalThis.life = {
  workers,
  open: (name, options) => (life[name] = createAI({ threads: 2, ...options })),
  ask: (name, tokens = 3) => life[name].run(null, body(tokens)).then(count, failed),
  /** A stream that goes on: how many chunks have come so far, and how it ended. */
  async stream(name, tokens) {
    const stream = await life[name].run(null, { ...body(tokens), stream: true });
    const seen = { chunks: 0, end: null };
    seen.done = (async () => {
      for await (const chunk of stream) seen.chunks += chunk.choices.length;
      return 'whole';
    })()
      .catch(failed)
      .then((end) => (seen.end = end));
    return (life.streamed = seen);
  },
  async openAndClose(cycles, options) {
    for (let n = 0; n < cycles; n++) {
      const ai = createAI({ threads: 2, ...options });
      if (count(await ai.run(null, body(2))) !== 2) throw new Error('no answer');
      await ai.close();
    }
  },
};
globalThis.ready = true;
