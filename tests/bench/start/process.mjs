// Owns running one measured start in a process of its own. Used by cold.mjs and open.mjs.
import { spawn } from 'node:child_process';

/** A program for Node that uses as much memory as a model: a virtual machine's host may have to find it first. */
export const touch = 'for (let i = 0; i < 8; i++) globalThis[i] = Buffer.alloc(2 ** 29, 1)';

/** What Node with `words` prints; rejects when it fails. */
export function output(node, words) {
  return new Promise((accept, reject) => {
    const child = spawn(node, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (bytes) => (text += bytes));
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? accept(text) : reject(new Error(`status ${code}`))));
  });
}
