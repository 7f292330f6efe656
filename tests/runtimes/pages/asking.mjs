// Owns asking the installed package everything, in a page or in a worker of it. Called by page.mjs and worker.mjs. Surprise:
// the package is imported by its path: a page knows no package names.
import { answers } from '../questions.mjs';

const entry = '/node_modules/ocelli/build/js/index.js';

/** The answers with these options of createAI, and what gave them. */
export async function ask(options) {
  const { createAI } = await import(entry);
  const ai = createAI(options);
  const found = await answers(ai.run, new URL('/picture.png', self.location.href).href);
  const { variant, threads } = await ai.info();
  await ai.close();
  return { answers: found, variant, threads, isolated: self.crossOriginIsolated };
}
