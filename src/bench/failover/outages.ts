/** What databases and their clients notice of a minute without Consul, and of one without Temporal. */

import process from 'node:process';
import { now, startTraffic, type Traffic } from '../../testbed/traffic.js';
import type { StreamFigures } from '../../testbed/trafficContract.js';
import { pause, waitFor } from '../../testbed/waiting.js';
import { startOurs, type Ours } from './ours.js';

export interface OutageObservation {
  readonly away: 'consul' | 'temporal';
  readonly acknowledged: number;
  readonly failed: number;
  readonly lost: number;
  /** Changes of leader, but for the one that was killed. */
  readonly demotions: number;
  /** Of all clients but that of the leader that was killed. Milliseconds. */
  readonly longestGapMs: number;
  /** Of the leader that was killed meanwhile: when its client wrote again, in milliseconds since Temporal answered. */
  readonly replacedAfterMs: number | null;
}

const DATABASES = 4;
const RATE = 200;
const AWAY_MS = 60_000;
const SETTLE_MS = 5_000;
const FLOW_WITHIN_MS = 30_000;
const REPLACED_WITHIN_MS = 120_000;

/** Consul first, then Temporal, on one fleet. */
export async function outages(
  signal: AbortSignal,
  tell: (line: string) => void,
): Promise<readonly OutageObservation[]> {
  const ours = await startOurs({ databases: DATABASES, signal });
  try {
    tell('a minute without Consul');
    const consul = await away(ours, 'consul', signal);
    tell('a minute without Temporal, and a leader that dies meanwhile');
    return [consul, await away(ours, 'temporal', signal)];
  } finally {
    await ours.stop();
  }
}

async function away(
  ours: Ours,
  part: OutageObservation['away'],
  signal: AbortSignal,
): Promise<OutageObservation> {
  const { fleet } = ours;
  const before = await Promise.all(fleet.databases.map((database) => ours.stageOf(database)));
  const traffic = await startTraffic(
    before.map(({ database, route, login }) => ({ name: database, route, login, rate: RATE, inFlight: 64 })),
  );
  try {
    await flows(traffic);
    const victim = part === 'temporal' ? before[0] : undefined;
    const from = now();
    await fleet.dev.hold(part);
    await pauseOr(signal, AWAY_MS / 2);
    const killedAt = now();
    if (victim !== undefined) process.kill(victim.leaderPid(), 'SIGKILL');
    await pauseOr(signal, AWAY_MS / 2);
    await fleet.dev.release(part);
    const backAt = now();
    const replaced =
      victim === undefined
        ? null
        : await writesAgain(traffic, fleet.databases.indexOf(victim.database), killedAt);
    await pause(SETTLE_MS);
    const figures = await traffic.figures({ from });
    await traffic.stop();
    const others = figures.filter(({ name }) => name !== victim?.database);
    const after = await Promise.all(fleet.databases.map((database) => fleet.record(database)));
    const checked = await Promise.all(
      after.map(({ leader }, index) => traffic.verify(index, leader, fleet.application)),
    );
    const moved = before.filter(({ database, leader }) => {
      const now_ = after.find((record) => record.database === database)?.leader;
      return database !== victim?.database && now_?.address !== leader.address;
    });
    return {
      away: part,
      acknowledged: figures.reduce((sum, { acknowledged }) => sum + acknowledged, 0),
      failed: others.reduce((sum, { failed }) => sum + failed, 0),
      lost: checked.reduce((sum, { lost }) => sum + lost, 0),
      demotions: moved.length,
      longestGapMs: Math.max(...others.map(({ longestGapMs }) => longestGapMs)),
      replacedAfterMs: replaced === null ? null : replaced - backAt,
    };
  } finally {
    traffic.end();
    // A run that was broken off must not leave it away.
    if (fleet.dev.pidOf(part) === null && !signal.aborted) await fleet.dev.release(part);
  }
}

async function flows(traffic: Traffic): Promise<void> {
  const from = now() + 1000;
  await waitFor(async () => (await traffic.figures({ from })).every(({ acknowledged }) => acknowledged > 0), {
    deadlineMs: FLOW_WITHIN_MS,
    what: 'clients to write',
  });
}

/** When the client whose leader was killed wrote again. */
async function writesAgain(traffic: Traffic, index: number, since: number): Promise<number> {
  const wrote = async (): Promise<StreamFigures | null> => {
    const figures = (await traffic.figures({ from: since }))[index];
    return figures !== undefined && Object.keys(figures.by).length > 0 && figures.gap.to < now() - 500
      ? figures
      : null;
  };
  const { gap } = await waitFor(wrote, {
    deadlineMs: REPLACED_WITHIN_MS,
    what: 'the killed leader to be replaced',
  });
  return gap.to;
}

async function pauseOr(signal: AbortSignal, ms: number): Promise<void> {
  const until = now() + ms;
  while (now() < until) {
    signal.throwIfAborted();
    await pause(Math.min(500, Math.max(1, until - now())));
  }
}
