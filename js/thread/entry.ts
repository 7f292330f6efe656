// Owns the first lines that run in the engine's thread. Loaded as a Worker by client.ts: in browsers, Deno, Bun and Node.
import { listenInWorker } from './entry_line.ts';
import type { FromThread, ToThread } from './protocol.ts';
import { serve } from './serve.ts';

await listenInWorker<FromThread, ToThread>((line) => serve(line));
