/**
 * Ends a test run: says what did not run as it should, then `N passed, N failed` as the last line, and exits 1
 * unless tests ran and all passed. test-count.mjs STATUS REPORT…: the worst exit code of vitest, and its JSON reports.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

const [status, ...files] = process.argv.slice(2);
/** Files that take longer are named. */
const SLOW_S = 45;
const say = (line) => process.stdout.write(`${line}\n`);

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

const reports = files.map(readReport);
const suites = reports.flatMap((report) => report?.testResults ?? []);
let passed = 0;
let failed = 0;
let skipped = 0;

say('');
for (const suite of suites) {
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
if (reports.length === 0 || reports.includes(null)) {
  say('The test runner itself failed before it could report: see above.');
  failed += 1;
} else {
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
const slowest = suites
  .map(({ name, startTime, endTime }) => ({
    file: path.relative('', name),
    seconds: (endTime - startTime) / 1000,
  }))
  .filter(({ seconds }) => seconds > SLOW_S)
  .toSorted((a, b) => b.seconds - a.seconds);
for (const { file, seconds } of slowest) say(`slow: ${seconds.toFixed(0)} s ${file}`);
say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
