// What `node tools/test.mjs --only runtimes` runs: the packed package in every runtime. Surprise: one file after another,
// since each runtime wants both processors and up to 4 GiB of addresses.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/runtimes/**/*.test.ts'],
    globalSetup: 'tests/runtimes/set_up.mjs',
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
