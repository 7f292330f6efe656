// The server of ocelli/worker on Deno.
import { serveDeno } from 'ocelli/worker/deno';
import { made } from './made.mjs';

const server = serveDeno(made(), { port: 0 });
console.log(server.url);
Deno.addSignalListener('SIGTERM', () => server.close(1000).then(() => Deno.exit(0)));
