/**
 * Ends a test run: says what did not run as it should, then `N passed, N failed` as the last line, and exits 1
 * unless tests ran and all passed. test-count.mjs STATUS:REPORT…: of each run of vitest its exit code and JSON report.
 * A file in a later report takes the place of the same one in an earlier report.
 * With --again first: says which files shall be run once more instead, one in a line.
 */

import { readFileSync } from 'node:fs';
import path from 'node:path';

/** More than so many have no bad luck. */
const AGAIN_AT_MOST = 4;
/** Those with real servers, beside which others run. */
const AGAIN = /^test\/(integration|chaos)\//;
/** Files that take longer are named. */
const SLOW_S = 45;
const say = (line) => process.stdout.write(`${line}\n`);

function readRun(argument) {
  const at = argument.indexOf(':');
  const status = argument.slice(0, at);
  try {
    return { status, suites: JSON.parse(readFileSync(argument.slice(at + 1), 'utf8')).testResults };
  } catch {
    return { status, suites: null };
  }
}

const nameOf = (suite) => path.relative('', suite.name);
const states = (suite) => suite.assertionResults.map((test) => test.status);
const count = (suites, wanted) => suites.flatMap(states).filter(wanted).length;
const isFailed = (suite) => suite.status === 'failed' || states(suite).includes('failed');

const [first, ...others] = process.argv.slice(2);
if (first === '--again') {
  const failed = others
    .flatMap((run) => readRun(run).suites ?? [])
    .filter(isFailed)
    .map(nameOf);
  if (failed.length <= AGAIN_AT_MOST) for (const file of failed.filter((name) => AGAIN.test(name))) say(file);
} else {
  end([first, ...others].filter((run) => run !== undefined).map(readRun));
}

function end(runs) {
  say('');
  const last = new Map();
  for (const suite of runs.flatMap(({ suites }) => suites ?? [])) {
    const before = last.get(suite.name);
    if (before !== undefined && !isFailed(suite)) {
      const which = before.assertionResults
        .filter(({ status }) => status === 'failed')
        .map(({ fullName }) => fullName);
      say(
        `again: ${nameOf(suite)} failed, and passed by itself: ${which.join('; ') || 'outside of its tests'}`,
      );
    }
    last.set(suite.name, suite);
  }
  const suites = [...last.values()];
  const passed = count(suites, (state) => state === 'passed');
  const skipped = count(suites, (state) => state !== 'passed' && state !== 'failed');
  let failed = count(suites, (state) => state === 'failed');

  for (const suite of suites) {
    // A file that could not be loaded, or a hook that failed, has no failed test of its own.
    if (suite.status !== 'failed' || states(suite).includes('failed')) continue;
    failed += 1;
    say(`A test file failed outside of its tests: ${nameOf(suite)}. ${(suite.message ?? '').split('\n')[0]}`);
  }
  if (runs.length === 0 || runs.some((run) => run.suites === null)) {
    say('The test runner itself failed before it could report: see above.');
    failed += 1;
  } else if (passed + failed === 0) {
    say('No test was executed: does a filter match any test file?');
    failed = 1;
  }
  for (const run of runs) {
    if (run.suites === null || run.status === '0' || run.suites.some(isFailed)) continue;
    say(
      'Tests passed, but something failed outside of them (an unhandled error, a crashed process): see above.',
    );
    failed += 1;
  }
  const slowest = suites
    .map((suite) => ({ file: nameOf(suite), seconds: (suite.endTime - suite.startTime) / 1000 }))
    .filter(({ seconds }) => seconds > SLOW_S)
    .toSorted((a, b) => b.seconds - a.seconds);
  for (const { file, seconds } of slowest) say(`slow: ${seconds.toFixed(0)} s ${file}`);
  say(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed > 0 ? 1 : 0;
}
