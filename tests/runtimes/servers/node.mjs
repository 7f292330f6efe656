// The server of ocelli/worker on Node.
import { serveNode } from 'ocelli/worker/node';
import { made } from './made.mjs';

const server = await serveNode(made(), { port: 0 });
console.log(server.url);
process.on('SIGTERM', () => server.close(1000).then(() => process.exit(0)));
