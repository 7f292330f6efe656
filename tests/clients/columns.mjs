// Owns what every client is asked for, and where its row of the table is written. Read by cells.mjs and table.mjs.
import { join } from 'node:path';

/** Where rows and table are. */
export const place = join(import.meta.dirname, '../../build/clients');

export const columns = [
  ...['chat', 'stream', 'tools', 'image', 'JSON schema'],
  ...['400', '401', '404', '429', '500', 'abort'],
];

/** In the order of the table's rows. */
export const clients = [
  ...['openai', 'ai, @ai-sdk/openai-compatible', '@langchain/openai', '@openai/agents'],
  ...['@instructor-ai/instructor', 'azion/ai', '@runware/sdk-js'],
  ...['openai (Python)', 'litellm (Python)', 'instructor (Python)'],
];
