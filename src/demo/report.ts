/** What the story says, for people and as the shared report. */

import { showSize } from '../fleet/quantities.js';
import type { RunbookState } from '../fleet/runbook.js';
import { atLeast, atMost, thisMachine } from '../testbed/report.js';
import type { Bar, Report, ReportStep } from '../testbed/report.js';
import type { FullHost } from './chapters/fullHost.js';
import type { Story } from './story.js';

/** In a crash what was acknowledged in the last moment may be lost: replication is asynchronous. At 1,000 writes a second. */
const LOST_IN_A_CRASH = 20;
/** A newcomer's machine may be slow; benchmarks say what is possible. Milliseconds. */
const PLANNED_OUTAGE = 1_000;
const UNPLANNED_OUTAGE = 5_000;
const MiB = 1024 ** 2;

/** @param chart the file that the chart of memory goes to, if any */
export function demoReport(story: Story, steps: readonly ReportStep[], chart: string | null): Report {
  const bars = demoBars(story);
  const { planned, unplanned, destroyed, full } = story;
  // What was written after the last sound backup of a database whose two copies were destroyed is told apart.
  const lost =
    Math.max(story.lostOnLeaders, story.lostOnFollowers) +
    planned.lost +
    unplanned.lost +
    destroyed.missing +
    full.lost;
  return {
    ok: bars.every(({ holds }) => holds),
    machine: thisMachine(),
    writes: {
      acknowledged:
        story.acknowledged +
        planned.acknowledged +
        unplanned.acknowledged +
        destroyed.acknowledged +
        full.acknowledged,
      lost,
    },
    leaderForks: story.leaderForks + planned.forks + unplanned.forks + destroyed.forks + full.leaderForks,
    steps: [
      ...steps,
      ...stepsOf('bringUpFollower', story.follower.runbook),
      ...stepsOf('relocateDatabases', full.runbook),
    ],
    memory: { ...full.memory, ...(chart === null ? {} : { chart }) },
    bars,
  };
}

function stepsOf(runbook: string, { steps }: RunbookState): ReportStep[] {
  return steps.flatMap(({ name, seconds }) =>
    seconds === null ? [] : [{ name: `${runbook}: ${name}`, seconds }],
  );
}

function demoBars({ follower, planned, unplanned, destroyed, full, ...story }: Story): Bar[] {
  return [
    atLeast('writes acknowledged', story.acknowledged, 1, 'writes'),
    atMost('acknowledged writes lost, read from the leaders', story.lostOnLeaders, 0, 'writes'),
    atMost('acknowledged writes lost, read from the followers', story.lostOnFollowers, 0, 'writes'),
    atMost('writes refused or not answered', story.failed, 0, 'writes'),
    atMost('forks on leaders since their birth', story.leaderForks, 0, 'forks'),
    atMost('leaders that were restarted', story.leadersReplaced, 0, 'processes'),
    atMost('times that the dead follower ran again by itself', follower.startedByItself, 0, 'times'),
    atLeast(
      'kills of the worker that the bring-up survived',
      follower.workerKill.pid > 0 ? 1 : 0,
      1,
      'kills',
    ),
    atMost('switchover: acknowledged writes lost', planned.lost, 0, 'writes'),
    atMost('switchover: writes refused or not answered', planned.failed, 0, 'writes'),
    atMost('switchover: forks on either side', planned.forks, 0, 'forks'),
    atMost('switchover: outage as the application saw it', planned.outageMs, PLANNED_OUTAGE, 'ms'),
    atMost('leader killed: acknowledged writes lost', unplanned.lost, LOST_IN_A_CRASH, 'writes'),
    atMost('leader killed: writes refused or not answered', unplanned.failed, 0, 'writes'),
    atMost('leader killed: forks on the new leader', unplanned.forks, 0, 'forks'),
    atMost('leader killed: outage as the application saw it', unplanned.outageMs, UNPLANNED_OUTAGE, 'ms'),
    atLeast('databases with a new verified backup', destroyed.verified, story.databases, 'databases'),
    atMost('backups: forks on leaders', destroyed.forks, 0, 'forks'),
    atLeast('backups: flipped bytes found', destroyed.damage === null ? 0 : 1, 1, 'bytes'),
    atLeast('restore: damaged backups passed over, and named', destroyed.passedOver.length, 1, 'backups'),
    atMost(
      'restore: writes missing of those before the backup that was sound',
      destroyed.missing,
      0,
      'writes',
    ),
    atLeast('full host: databases moved off it', full.moved.length, 1, 'databases'),
    atMost('full host: acknowledged writes lost', full.lost, 0, 'writes'),
    atMost('full host: forks on leaders', full.leaderForks, 0, 'forks'),
    atMost(
      'full host: memory that Redis held there at the most',
      full.memory.most / MiB,
      full.memory.total / MiB,
      'MiB',
    ),
    atLeast(
      'full host: memory left beside a fork of its largest database, afterwards',
      full.memory.leftBesideFork / MiB,
      0,
      'MiB',
    ),
    atMost('followers without equal offsets at the end', story.notEqual, 0, 'followers'),
  ];
}

export function reportText(story: Story, report: Report, seconds: number): string {
  const { follower, planned, unplanned, destroyed, full } = story;
  const { victim, runbook, workerKill } = follower;
  const lines = [
    `What happened, in ${seconds.toFixed(0)} s`,
    `  ${story.databases} databases, each a leader and a follower on two hosts, took ${(story.bytesLoaded / 1e6).toFixed(0)} MB while applications wrote.`,
    `  The follower of ${victim.database} on ${victim.follower.host} (process ${victim.pid}) was killed with kill -9.`,
    `  It was down for ${follower.watchedSeconds} s and nothing started it; the leaders forked ${follower.forksWhileDown} times meanwhile.`,
    `  bringUpFollower brought it back in ${follower.bringUpSeconds.toFixed(1)} s. The control worker (process ${workerKill.pid}) was killed`,
    `  with kill -9 during "${workerKill.during}"; the runbook went on in the next worker.`,
    `  switchover: ${planned.database} went from ${planned.from.host} to ${planned.to.host} under 1,000 writes a second. Its application waited`,
    `  ${planned.outageMs.toFixed(0)} ms at most; ${planned.acknowledged} writes acknowledged, ${planned.lost} lost.`,
    `  The leader of ${unplanned.database} on ${unplanned.dead.host} was killed with kill -9 under 1,000 writes a second. After ${unplanned.recordChangedMs.toFixed(0)} ms the`,
    `  record named ${unplanned.promoted.host}; its application waited ${unplanned.outageMs.toFixed(0)} ms at most; ${unplanned.acknowledged} writes`,
    `  acknowledged, ${unplanned.lost} lost. It came back as a follower (${unplanned.way}), and nobody forked for it.`,
    `  Backups: ${destroyed.verified} databases in ${destroyed.sweepSeconds.toFixed(1)} s, ${mb(destroyed.plainBytes)} MB stored as ${mb(destroyed.storedBytes)} MB, each read back and verified; leaders`,
    `  forked ${destroyed.forks} times. In one more backup of ${destroyed.database} a byte was flipped, and found:`,
    ...wrapped(destroyed.damage ?? 'it was not found').map((line) => `  ${line}`),
    `  Both copies of ${destroyed.database} were destroyed. restoreDatabase had leader and follower serve again after ${destroyed.restoreSeconds.toFixed(1)} s.`,
    ...wrapped(`It passed over what was damaged, and said of what it took: ${destroyed.told}.`),
    `  Of ${destroyed.acknowledged} writes before that backup ${destroyed.missing} are missing; ${destroyed.tooLate} after it are gone with the two copies.`,
    ...fullHostLines(full),
    '',
    `How the follower of ${victim.database} got its data, and why so: ${follower.way}`,
    ...wrapped(follower.why),
    ...follower.rejected.flatMap(({ way, why }) => wrapped(`Not ${way}: ${why}`)),
    '',
    'Its runbook, step by step',
    ...runbook.steps
      .filter(({ seconds: took }) => took !== null)
      .map(
        ({ name, progress, seconds: took }) =>
          `  ${(took ?? 0).toFixed(2).padStart(7)} s  ${name}: ${progress.state}`,
      ),
    '',
    'What must hold',
    ...(report.bars ?? []).map(
      ({ name, figure, unit, holds }) => `  ${holds ? 'yes' : 'NO '}  ${name}: ${showFigure(figure)} ${unit}`,
    ),
    `       longest time between two acknowledged writes of the other applications: ${story.longestGapMs.toFixed(0)} ms`,
    '',
    report.ok ? 'All of it holds.' : 'Not all of it holds: see NO above.',
  ];
  return `\n${lines.join('\n')}\n`;
}

function fullHostLines({
  alarm,
  moved,
  seconds,
  memory,
  acknowledged,
  lost,
  leaderForks,
}: FullHost): string[] {
  const { host, total, before, most, after, leftBesideFork } = memory;
  const moves = moved.map(
    ({ database, leader, pausedMs }) =>
      `${database} to ${leader.host}${pausedMs === null ? '' : ` (its writes waited ${pausedMs.toFixed(0)} ms)`}`,
  );
  return [
    `  On a second fleet two leaders on ${host} grew all the time; this host has only ${showSize(total)} for Redis. The alarm said:`,
    ...wrapped(alarm).map((line) => `  ${line}`),
    `  relocateDatabases moved ${moves.join(', ')} in ${seconds.toFixed(1)} s, with a copy from the follower.`,
    `  Redis held ${showSize(before)} on ${host} when it began, ${showSize(most)} at the most, and ${showSize(after)} afterwards: room for a`,
    `  fork of the largest database there, and ${showSize(leftBesideFork)} more. ${acknowledged} writes acknowledged, ${lost} lost; leaders forked ${leaderForks} times.`,
  ];
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

const WIDTH = 100;

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`  ${word}`);
  }
  return lines;
}

function showFigure(figure: number): string {
  return figure.toLocaleString('en-US', { maximumFractionDigits: 2 });
}
