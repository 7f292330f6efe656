// What all servers of this folder serve: the embedded model, its sockets from one page only.
import { createAI } from 'ocelli';
import { createWorker } from 'ocelli/worker';

export const made = (options = {}) =>
  createWorker({ ai: createAI({ threads: 2, ...options }), origins: ['https://page.example'] });
