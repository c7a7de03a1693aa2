/** What the story says, for people and as the shared report. */

import { atLeast, atMost, thisMachine } from '../testbed/report.js';
import type { Bar, Report, ReportStep } from '../testbed/report.js';
import type { Story } from './story.js';

export function demoReport(story: Story, steps: readonly ReportStep[]): Report {
  const bars = demoBars(story);
  const lost = Math.max(story.lostOnLeaders, story.lostOnFollowers);
  return {
    ok: bars.every(({ holds }) => holds),
    machine: thisMachine(),
    writes: { acknowledged: story.acknowledged, lost },
    leaderForks: story.leaderForks,
    steps: [
      ...steps,
      ...story.runbook.steps.flatMap(({ name, seconds }) =>
        seconds === null ? [] : [{ name: `bringUpFollower: ${name}`, seconds }],
      ),
    ],
    bars,
  };
}

function demoBars(story: Story): Bar[] {
  return [
    atLeast('writes acknowledged', story.acknowledged, 1, 'writes'),
    atMost('acknowledged writes lost, read from the leaders', story.lostOnLeaders, 0, 'writes'),
    atMost('acknowledged writes lost, read from the followers', story.lostOnFollowers, 0, 'writes'),
    atMost('writes refused or not answered', story.failed, 0, 'writes'),
    atMost('forks on leaders since their birth', story.leaderForks, 0, 'forks'),
    atMost('leaders that were restarted', story.leadersReplaced, 0, 'processes'),
    atMost('times that the dead follower ran again by itself', story.startedByItself, 0, 'times'),
    atLeast('kills of the worker that the bring-up survived', story.workerKill.pid > 0 ? 1 : 0, 1, 'kills'),
    atMost('followers without equal offsets at the end', story.notEqual, 0, 'followers'),
  ];
}

export function reportText(story: Story, report: Report, seconds: number): string {
  const { victim, runbook, workerKill } = story;
  const lines = [
    `What happened, in ${seconds.toFixed(0)} s`,
    `  ${story.databases} databases, each a leader and a follower on two hosts, took ${(story.bytesLoaded / 1e6).toFixed(0)} MB while ${count(story.databases, 'writer')} wrote.`,
    `  The follower of ${victim.database} on ${victim.follower.host} (process ${victim.pid}) was killed with kill -9.`,
    `  It was down for ${story.watchedSeconds} s and nothing started it; the leaders forked ${story.forksWhileDown} times meanwhile.`,
    `  bringUpFollower brought it back in ${story.bringUpSeconds.toFixed(1)} s. The control worker (process ${workerKill.pid}) was killed`,
    `  with kill -9 during "${workerKill.during}"; the runbook went on in the next worker.`,
    '',
    `Which way, and why: ${story.way}`,
    ...wrapped(story.why),
    ...story.rejected.flatMap(({ way, why }) => wrapped(`Not ${way}: ${why}`)),
    '',
    'The runbook, step by step',
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
    `       longest time between two acknowledged writes: ${story.longestGapMs.toFixed(0)} ms`,
    '',
    report.ok ? 'All of it holds.' : 'Not all of it holds: see NO above.',
  ];
  return `\n${lines.join('\n')}\n`;
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

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function showFigure(figure: number): string {
  return figure.toLocaleString('en-US', { maximumFractionDigits: 2 });
}
