/**
 * Ends a test run: says what did not run as it should, then `N passed, N failed` as the last line, and exits 1
 * unless tests ran and all passed. test-count.mjs RESULTS STATUS: vitest's JSON report and exit code.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

const [file, status] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${line}\n`);

function readReport() {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

const report = readReport();
let passed = 0;
let failed = 0;
let skipped = 0;

say('');
if (report === null) {
  say('The test runner itself failed before it could report: see above.');
  failed = 1;
} else {
  for (const suite of report.testResults) {
    const states = suite.assertionResults.map((test) => test.status);
    passed += states.filter((state) => state === 'passed').length;
    failed += states.filter((state) => state === 'failed').length;
    skipped += states.filter((state) => state !== 'passed' && state !== 'failed').length;
    // A file that could not be loaded, or a hook that failed, has no failed test of its own.
    if (suite.status === 'failed' && !states.includes('failed')) {
      failed += 1;
      const why = (suite.message ?? '').split('\n')[0];
      say(`A test file failed outside of its tests: ${path.relative('', suite.name)}. ${why}`);
    }
  }
  if (passed + failed === 0) {
    say('No test was executed: does a filter match any test file?');
    failed = 1;
  } else if (failed === 0 && status !== '0') {
    say(
      'All tests passed, but something failed outside of them (an unhandled error, a crashed process): see above.',
    );
    failed = 1;
  }
}
say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
