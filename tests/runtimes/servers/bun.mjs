// The server of ocelli/worker on Bun.
import { serveBun } from 'ocelli/worker/bun';
import { made } from './made.mjs';

const server = serveBun(made(), { port: 0 });
console.log(server.url);
process.on('SIGTERM', () => server.close(1000).then(() => process.exit(0)));
