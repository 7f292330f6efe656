// What `node tools/test.mjs --only clients` runs: other people's clients, unmodified, against `ocelli serve`. Surprise: they
// are installed here and not by the root package.json, so that nothing of them is needed to build or to ship.
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['tests/clients/**/*.test.mjs'],
    globalSetup: 'tests/clients/set_up.mjs',
    pool: 'forks',
    fileParallelism: false,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
