/**
 * A fork while writes wait: nobody writes, so next to nothing is copied, and it fits where an ordinary fork does not.
 * The last resort. Pure.
 */

import type { HostMemory, ProcessFacts } from './facts.js';
import { isPointedAt } from './gates.js';
import { forkHeadroom, spendable, type Headroom } from './headroom.js';
import { showSize } from './quantities.js';
import { showEndpoint, type DatabaseRecord } from './record.js';

/** Seconds. Applications wait no longer than this, whatever is approved. */
export const LONGEST_PAUSE_S = 60;
export const DEFAULT_PAUSE_S = 10;

/** What a leader is made to fork for while its writes wait. */
export const PAUSE_FORKS = ['save', 'follower', 'nothing'] as const;
export type PauseFork = (typeof PAUSE_FORKS)[number];

/**
 * Slow on purpose: alone on an idle machine a child writes several hundred MB a second. What is approved is a limit, and
 * writes go on as soon as the child has ended.
 */
const CHILD_BYTES_PER_SECOND = 50 * 1024 ** 2;
/** A gate that was opened is looked at by Redis once a second. */
const FIXED_SECONDS = 2;

/** How long the fork of so much memory may take. Seconds, rounded up. */
export function pauseNeeded(usedMemory: number): number {
  return Math.ceil(FIXED_SECONDS + usedMemory / CHILD_BYTES_PER_SECOND);
}

/** Page tables, and what the process writes by itself: measured with writes paused at less than 1 MB. */
const SHARE_WHILE_PAUSED = 0.01;
const LEAST_WHILE_PAUSED = 8 * 1024 ** 2;

/** What a fork costs while nobody writes. */
export function pausedForkBytes(usedMemory: number): number {
  return Math.max(LEAST_WHILE_PAUSED, usedMemory * SHARE_WHILE_PAUSED);
}

/** The reserve may be spent: it is kept for emergencies, and this is one. */
export function pausedForkHeadroom({ available }: HostMemory, usedMemory: number): Headroom {
  const left = available - pausedForkBytes(usedMemory);
  return left >= 0 ? { fits: true, left } : { fits: false, short: -left };
}

/** Does a fork fit as things are, and if not, while writes wait? Bytes. */
export type ForkVerdict =
  /** `left` beside it. */
  | { readonly fits: true; readonly left: number }
  | {
      readonly fits: false;
      readonly needed: number;
      readonly short: number;
      readonly whilePaused: Headroom;
      /** How long writes might have to wait for it. */
      readonly seconds: number;
    };

/** @param forkShare of used memory, that the fork costs while writes go on */
export function judgeFork(memory: HostMemory, usedMemory: number, forkShare: number): ForkVerdict {
  const needed = Math.ceil(usedMemory * forkShare);
  const headroom = forkHeadroom(memory, needed);
  if (headroom.fits) return { fits: true, left: headroom.left };
  return {
    fits: false,
    needed,
    short: headroom.short,
    whilePaused: pausedForkHeadroom(memory, usedMemory),
    seconds: pauseNeeded(usedMemory),
  };
}

/**
 * For how long writes may wait for a fork that does not fit otherwise; null: that would not help, or take too long.
 * @param allowed by the request. Seconds
 */
export function pauseFor(verdict: ForkVerdict, allowed?: number): number | null {
  if (verdict.fits || !verdict.whilePaused.fits) return null;
  if (allowed !== undefined) return allowed;
  return verdict.seconds <= LONGEST_PAUSE_S ? verdict.seconds : null;
}

/** A child that still lives when the pause ends: what is written from then on is copied. */
export type Outlasting = { readonly goesOn: true } | { readonly goesOn: false; readonly why: string };

export function mayOutlastPause(memory: HostMemory, usedMemory: number): Outlasting {
  const headroom = forkHeadroom(memory, usedMemory);
  if (headroom.fits) return { goesOn: true };
  return {
    goesOn: false,
    why: `with writes going on it could need ${showSize(headroom.short)} more memory than its host can give`,
  };
}

/** Memory is running out under a child that lives on after the pause. */
export function mustEndNow(memory: HostMemory): boolean {
  return spendable(memory) === 0;
}

/** What to approve instead, from how far a child came. null: it said nothing, or it would take too long. Seconds. */
export function pauseForTheRest(spentSeconds: number, keysDone: number, keysTotal: number): number | null {
  if (keysDone <= 0 || keysTotal <= 0) return null;
  const whole = Math.ceil((spentSeconds * keysTotal * 1.5) / Math.min(keysDone, keysTotal)) + FIXED_SECONDS;
  return whole <= LONGEST_PAUSE_S ? whole : null;
}

export interface PauseSight {
  readonly record: DatabaseRecord;
  readonly fork: PauseFork;
  /** A sentence: why it did not answer. */
  readonly leader: ProcessFacts | string | null;
  /** null: the record has none. */
  readonly follower: ProcessFacts | string | null;
  readonly seconds?: number | undefined;
}

export interface PauseVerdict {
  readonly usedMemory: number;
  /** How long the fork may take. */
  readonly seconds: number;
  /** null: it can be done. */
  readonly problem: string | null;
}

/** Can this leader be made to fork while its writes wait? */
export function judgePause(sight: PauseSight): PauseVerdict {
  const { record, fork, leader, seconds: approved = DEFAULT_PAUSE_S } = sight;
  const { database } = record;
  if (leader === null || typeof leader === 'string') {
    const problem = `The leader of ${database}, ${showEndpoint(record.leader)}, does not answer (${leader ?? 'there is none'}): it takes no writes that could wait. See: redis-fleet why ${database}`;
    return { usedMemory: 0, seconds: 0, problem };
  }
  const { usedMemory } = leader;
  const seconds = fork === 'nothing' ? approved : pauseNeeded(usedMemory);
  return { usedMemory, seconds, problem: pauseProblem(sight, leader) };
}

function pauseProblem({ record, fork, follower }: PauseSight, leader: ProcessFacts): string | null {
  const { database } = record;
  const who = `The leader of ${database}, ${showEndpoint(record.leader)},`;
  if (leader.role !== 'leader')
    return `${who} does not lead: it follows another process. See: redis-fleet check`;
  if (leader.loading) return `${who} still loads its data and takes no writes. Wait until it serves.`;
  if (leader.saving && fork !== 'nothing')
    return `${who} forked already, and its child still lives. Wait for its end (redis-fleet status), then start again.`;
  if (fork !== 'follower') return null;
  const needed = Math.min(LONGEST_PAUSE_S, pauseNeeded(leader.usedMemory));
  const bringUp = `redis-fleet bring-up ${database} --pause-writes ${needed}`;
  if (record.follower === null)
    return `Database ${database} has no follower to fill. To bring one up: ${bringUp}`;
  if (follower === null || typeof follower === 'string')
    return `The follower of ${database}, ${showEndpoint(record.follower)}, does not run, or does not answer. To bring it up: ${bringUp}`;
  if (follower.role === 'leader')
    return `${showEndpoint(record.follower)} leads as well and may hold writes that nobody else has: it is not written over. See: redis-fleet check`;
  if (isPointedAt(follower, record.leader) && follower.link?.up === true)
    return `The follower of ${database}, ${showEndpoint(record.follower)}, has its leader's data already, so nobody has to fork. See: redis-fleet status`;
  return null;
}
