import path from 'node:path';
import { defineConfig } from 'vitest/config';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** What scripts/toolchain installed comes first, as for scripts/test. */
const TOOLS = path.join(import.meta.dirname, '.tools/bin');

/** Groups run one after the other, the quick ones first. */
function group(name: string, order: number, limits: { test: number; hook: number }) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      sequence: { groupOrder: order },
      // A file of its own process: a crash, a leaked timer or a changed environment stays in it.
      pool: 'forks' as const,
      testTimeout: limits.test,
      hookTimeout: limits.hook,
      teardownTimeout: 30 * SECOND,
    },
  };
}

export default defineConfig({
  test: {
    env: { PATH: `${TOOLS}${path.delimiter}${process.env['PATH'] ?? ''}` },
    // One file at a time, however many cores there are; VITEST_MAX_FORKS allows more, as scripts/test does for some groups.
    maxWorkers: 1,
    minWorkers: 1,
    // A test that passes on a second try has found something.
    retry: 0,
    allowOnly: process.env['CI'] === undefined,
    projects: [
      group('unit', 0, { test: 20 * SECOND, hook: 20 * SECOND }),
      group('toolchain', 1, { test: MINUTE, hook: MINUTE }),
      group('compose', 2, { test: MINUTE, hook: MINUTE }),
      group('workflow', 3, { test: MINUTE, hook: MINUTE }),
      group('integration', 4, { test: 3 * MINUTE, hook: 3 * MINUTE }),
      group('chaos', 5, { test: 10 * MINUTE, hook: 5 * MINUTE }),
    ],
  },
});
