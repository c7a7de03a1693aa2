/** A plan of relocations in sentences. Pure. */

import { LONGEST_PAUSE_S } from '../pausedFork.js';
import { showDuration, showSize } from '../quantities.js';
import { showEndpoint } from '../record.js';
import type { Forecast, HostForecast } from './forecast.js';
import type { Moves, PlannedMove, RelocationPlan, Remedy } from './plan.js';

/** What can be moved; null: nothing. */
export function movesOf(plan: RelocationPlan): Moves | null {
  if (plan.kind === 'plan') return plan;
  return plan.kind === 'impossible' ? plan.bestEffort : null;
}

export function planLines(plan: RelocationPlan): string[] {
  if (plan.kind === 'safe already') {
    return ['Nothing has to move.', ...plan.before.map(hostLine)];
  }
  const moves = movesOf(plan);
  const impossible =
    plan.kind === 'impossible'
      ? ['No plan reaches the goal.', ...plan.why, ...plan.would.map(remedyLine)]
      : [];
  if (moves === null) return [...impossible, ...plan.before.map(hostLine)];
  return [...impossible, summary(moves), ...moves.moves.map(moveLine), ...changeLines(moves)];
}

/** `3 moves of 1.2 GiB in all take about 4 min.` */
export function summary({ moves, bytes, seconds, safeUntil }: Moves): string {
  const count = moves.length === 1 ? '1 move' : `${String(moves.length)} moves`;
  const safe =
    safeUntil === null
      ? ''
      : ` Then all is safe for ${showDuration(safeUntil * 1_000)} at least, however fast it grows.`;
  return `${count} of ${showSize(bytes)} in all, about ${showDuration(seconds * 1_000)}.${safe}`;
}

export function moveLine({ database, bytes, from, to, start, end, pauseSeconds }: PlannedMove): string {
  const pause =
    pauseSeconds === undefined
      ? ''
      : `; writes to it wait while it is copied, for about ${String(pauseSeconds)} s`;
  return (
    `${database} (${showSize(bytes)}) from ${from.leader.host} and ${from.follower.host} to ${showEndpoint(to.leader)} and ` +
    `${showEndpoint(to.follower)}, ${start === 0 ? 'at once' : `after ${showDuration(start * 1_000)}`}, for about ${showDuration((end - start) * 1_000)}${pause}`
  );
}

/** `redis-01-a: 312 MiB of 4 GiB available; …` */
export function hostLine({
  host,
  total,
  available,
  forks,
  reserve,
  forkEnds,
  memoryEnds,
}: HostForecast): string {
  const [largest] = forks;
  const fork =
    largest === undefined
      ? ''
      : `, a fork of ${largest.database} needs ${showSize(largest.needs)} beside the reserve of ${showSize(reserve)}`;
  return (
    `${host}: ${showSize(available)} of ${showSize(total)} available${fork}; ` +
    `${when(forkEnds, 'that fork does not fit', 'that fork fits')}, ${when(memoryEnds, 'memory ends', 'memory lasts')}`
  );
}

function when({ low, expected, high }: Forecast, ends: string, lasts: string): string {
  if (low === null) return `${lasts} for as long as can be seen`;
  if (low === 0) return `${ends} now`;
  const from = showDuration(low * 1_000);
  if (expected === null) return `${ends} in ${from} at the earliest`;
  const to = high === null ? 'or never' : `at the latest in ${showDuration(high * 1_000)}`;
  return `${ends} in about ${showDuration(expected * 1_000)} (at the earliest in ${from}, ${to})`;
}

function changeLines({ before, after }: Moves): string[] {
  return before.flatMap((was) => {
    const is = after.find(({ host }) => host === was.host);
    if (is === undefined) return [];
    return [
      `${was.host}: ${showSize(was.available)} available before, ${showSize(is.available)} after, of ${showSize(was.total)}`,
    ];
  });
}

export function remedyLine(remedy: Remedy): string {
  switch (remedy.kind) {
    case 'pause writes': {
      const each = remedy.databases
        .map(({ database, seconds }) => `${database} for ${String(seconds)} s`)
        .join(', ');
      const longest = Math.max(...remedy.databases.map(({ seconds }) => seconds));
      const how =
        longest <= LONGEST_PAUSE_S
          ? `To allow it: --pause-writes ${String(longest)}`
          : 'See: redis-fleet pause-writes --help';
      return `It would help to pause writes while the copy forks: ${each}. ${how}`;
    }
    case 'new server':
      return `It would help to add a server whose hosts have ${showSize(remedy.memory)} each: add it to the fleet file and run: redis-fleet apply`;
    case 'lower maxmemory': {
      const each = remedy.databases
        .map(({ database, maxmemory }) => `${database} ${showSize(maxmemory)}`)
        .join(', ');
      return `It would help to lower maxmemory, so that growth ends there: ${each}. What Redis does then is up to its maxmemory-policy`;
    }
  }
}

/** The earliest that memory ends on any of these hosts. Seconds; null: no end is in sight. */
export function exhaustion(hosts: readonly HostForecast[]): number | null {
  const ends = hosts.flatMap(({ memoryEnds }) => (memoryEnds.low === null ? [] : [memoryEnds.low]));
  return ends.length === 0 ? null : Math.min(...ends);
}
