// What `npm test` runs of TypeScript. Surprise: tests of threads and of the command import build/js, since the
// oldest Node we support cannot run .ts files in a worker.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    // A part of its own, with a set-up of its own; and what the clients' packages bring along.
    exclude: ['tests/runtimes/**', '**/node_modules/**'],
    // Each test file gets a process of its own: the modules map up to 4 GiB each.
    pool: 'forks',
    maxWorkers: 2,
    minWorkers: 1,
    // No test touches the caches of whoever runs it; those of caches name a folder of their own.
    env: { OCELLI_CACHE: 'off' },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
