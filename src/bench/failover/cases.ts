/** What happens to a leader, told once for both systems. Each is one measurement. */

import process from 'node:process';
import { now } from '../../testbed/traffic.js';
import { pause } from '../../testbed/waiting.js';
import { Clients, type ClientOptions, type Observation } from './observe.js';
import type { Stage } from './stage.js';

/** Whoever has not moved by then never does. */
const MOVES_WITHIN_MS = 60_000;
/** After everything is over: for what a second leader does in that time. */
const SETTLE_MS = 1000;
const HUNG_MS = 15_000;
const CUT_MS = 20_000;
const REBORN_AFTER_MS = 500;
/** How long a sentinel takes to make a leader that came back follow. */
const OLD_LEADER_STAYS_MS = 12_000;

export function killed(stage: Stage): Promise<Observation> {
  return observed(stage, {}, async (clients) => {
    const at = now();
    process.kill(stage.leaderPid(), 'SIGKILL');
    await clients.moved(at, MOVES_WITHIN_MS);
    await pause(SETTLE_MS);
    return at;
  });
}

/** SIGSTOP, and SIGCONT when everybody else has moved on. `onMoved`: from here on it only waits and looks. */
export function hung(stage: Stage, onMoved?: () => void): Promise<Observation> {
  return observed(stage, {}, async (clients) => {
    const pid = stage.leaderPid();
    const at = now();
    process.kill(pid, 'SIGSTOP');
    try {
      await clients.moved(at, MOVES_WITHIN_MS);
      onMoved?.();
      await pause(Math.max(0, at + HUNG_MS - now()));
    } finally {
      wake(pid);
    }
    await pause(OLD_LEADER_STAYS_MS);
    return at;
  });
}

export function planned(stage: Stage): Promise<Observation> {
  return observed(stage, { rate: 'full', inFlight: 16 }, async (clients) => {
    const at = now();
    await stage.switchOver();
    await clients.moved(at, MOVES_WITHIN_MS);
    await pause(stage.system === 'Sentinel' ? OLD_LEADER_STAYS_MS : SETTLE_MS);
    return at;
  });
}

/** The leader's zone is cut off, with a client in it. `onMoved`: from here on it only waits and looks. */
export function partitioned(stage: Stage, onMoved?: () => void): Promise<Observation> {
  return observed(stage, { staying: 'shut in' }, async (clients) => {
    const at = now();
    await stage.zones?.cut('az-a');
    try {
      await clients.moved(at, MOVES_WITHIN_MS);
      onMoved?.();
      await pause(Math.max(0, at + CUT_MS - now()));
    } finally {
      await stage.zones?.heal('az-a');
    }
    await pause(OLD_LEADER_STAYS_MS);
    return at;
  });
}

/** Killed, and started again without its data before anybody has counted to one. */
export function reborn(stage: Stage): Promise<Observation> {
  return observed(stage, {}, async (clients) => {
    const at = now();
    process.kill(stage.leaderPid(), 'SIGKILL');
    await pause(REBORN_AFTER_MS);
    stage.restartEmpty();
    await clients.writesAgain(now(), MOVES_WITHIN_MS);
    await pause(3 * SETTLE_MS);
    return at;
  });
}

async function observed(
  stage: Stage,
  options: ClientOptions,
  happens: (clients: Clients) => Promise<number>,
): Promise<Observation> {
  const clients = await Clients.start(stage, options);
  try {
    return await clients.finish(await happens(clients));
  } finally {
    clients.end();
  }
}

function wake(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It was killed meanwhile.
  }
}
