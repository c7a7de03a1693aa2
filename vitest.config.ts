import path from 'node:path';
import { defineConfig } from 'vitest/config';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** What scripts/toolchain installed comes first, as for scripts/test. */
const TOOLS = path.join(import.meta.dirname, '.tools/bin');

/**
 * Groups run one after the other, the quick ones first. Real servers want the machine for themselves: few files
 * at once in the groups that start some.
 */
function group(name: string, order: number, limits: { atOnce: number; test: number; hook: number }) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      sequence: { groupOrder: order },
      // A file of its own process: a crash, a leaked timer or a changed environment stays in it.
      pool: 'forks' as const,
      maxWorkers: limits.atOnce,
      minWorkers: 1,
      testTimeout: limits.test,
      hookTimeout: limits.hook,
      teardownTimeout: 30 * SECOND,
    },
  };
}

export default defineConfig({
  test: {
    env: { PATH: `${TOOLS}${path.delimiter}${process.env['PATH'] ?? ''}` },
    // A test that passes on a second try has found something.
    retry: 0,
    allowOnly: process.env['CI'] === undefined,
    projects: [
      group('unit', 0, { atOnce: 2, test: 20 * SECOND, hook: 20 * SECOND }),
      group('toolchain', 1, { atOnce: 2, test: MINUTE, hook: MINUTE }),
      group('compose', 2, { atOnce: 2, test: MINUTE, hook: MINUTE }),
      group('workflow', 3, { atOnce: 2, test: MINUTE, hook: MINUTE }),
      group('integration', 4, { atOnce: 2, test: 3 * MINUTE, hook: 3 * MINUTE }),
      group('chaos', 5, { atOnce: 1, test: 10 * MINUTE, hook: 5 * MINUTE }),
    ],
  },
});
