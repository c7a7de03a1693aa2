import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { RunbookState, StepProgress } from '../../src/fleet/runbook.js';
import { fleetCommand, runbookDetails, temporalCommand } from '../../src/fleet/runbookDetails.js';
import { nextMove } from '../../src/fleet/runbookMoves.js';
import { cut, inWords, shellWord, tableCell } from '../../src/fleet/runbookText.js';

function runbook(status: RunbookState['status'], last: StepProgress): RunbookState {
  const at = '2025-01-31T12:00:00.000Z';
  const steps = [
    {
      name: 'claim',
      does: 'Claims it.',
      progress: { state: 'done' as const },
      since: at,
      startedAt: at,
      seconds: 0.25,
    },
    { name: 'start', does: 'Starts it.', progress: last, since: at, startedAt: at, seconds: null },
  ];
  return {
    type: 'bringUpFollower',
    workflowId: 'bringUpFollower/sessions-03',
    runId: 'r',
    title: 'Bring up a follower',
    status,
    startedAt: at,
    steps,
    notes: ['Way: backup.'],
    decisions: [{ message: 'retry', step: 'start', by: 'ann', reason: 'again', at }],
    next: nextMove({ status, steps }),
  };
}

test('a stuck runbook shows what it waits for, and a command for each way on', () => {
  const details = runbookDetails(
    runbook('stuck', {
      state: 'stuck',
      attempt: 1,
      problem: 'Disk full | on /data',
      kind: 'DiskFull',
      skip: null,
    }),
  );
  expect(details).toContain('| claim | done, 0.3s | 12:00:00 | Claims it. |');
  expect(details).toContain('| start | stuck | 12:00:00 | Disk full \\| on /data |');
  expect(details).toContain(
    [
      'temporal workflow update execute \\',
      '  --workflow-id bringUpFollower/sessions-03 --name retry \\',
      `  --input '{"by":"you","reason":"why"}'`,
    ].join('\n'),
  );
  expect(details).toContain(`redis-fleet runbook retry bringUpFollower/sessions-03 --reason 'why'`);
  expect(details).toContain('--name abort');
  // What a person has to do stands above the table.
  expect(details.indexOf('--name retry')).toBeLessThan(details.indexOf('| step |'));
  expect(details).not.toContain('--name skip');
  expect(details).toContain('- 2025-01-31 12:00:00 retry of "start" by ann: again');
});

test('a running one offers only to stop it; one that ended offers nothing', () => {
  const running = runbookDetails(runbook('running', { state: 'running', attempt: 2 }));
  expect(running).toContain('running, attempt 2');
  expect(running.match(/--name \w+/g)).toEqual(['--name abort']);
  expect(runbookDetails(runbook('done', { state: 'done' }))).not.toContain('--name');
});

test('a namespace other than the default one is part of the command', () => {
  expect(temporalCommand('x', 'retry', 'prod')).toContain('execute --namespace prod --workflow-id x');
});

test('a shell reads every workflow id back as it was', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (text) => {
      const id = text.replaceAll('\0', '');
      const shown = execFileSync('/bin/sh', ['-c', `printf '%s' ${shellWord(id)}`], { encoding: 'utf8' });
      expect(shown).toBe(id);
    }),
    { numRuns: 60 },
  );
  expect(fleetCommand('it is', 'abort')).toBe(`redis-fleet runbook abort 'it is' --reason 'why'`);
});

test('a table cell is one line and holds no bare bar; a cut text is never longer than asked', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 50 }), (text, longest) => {
      const cell = tableCell(text);
      expect(cell).not.toMatch(/\n/);
      expect(cell.replaceAll(/\\[\\|]/g, '')).not.toContain('|');
      expect(cut(text, longest).length).toBeLessThanOrEqual(longest);
    }),
  );
});

test.each([
  [250, '250 ms'],
  [30_000, '30 s'],
  [600_000, '10 min'],
  [5_400_000, '90 min'],
  [21_600_000, '6 h'],
])('%d ms is %s', (ms, words) => {
  expect(inWords(ms)).toBe(words);
});
