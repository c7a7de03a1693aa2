/**
 * Whether a leader can bring a follower up to date from its backlog alone. The rule is Redis's own
 * (masterTryPartialResynchronization): decide before pointing a follower at its leader, never find out afterwards.
 */

import type { ProcessFacts, ReplicationPosition } from './facts.js';

type LeaderHistory = Pick<ProcessFacts, 'position' | 'previous' | 'backlog'>;

export type Coverage =
  /** `missing`: bytes between the position and the leader's offset now. */
  { readonly covered: true; readonly missing: number } | { readonly covered: false; readonly why: string };

export function coverage(leader: LeaderHistory, position: ReplicationPosition | null): Coverage {
  if (position === null) {
    return { covered: false, why: 'it carries no replication position' };
  }
  const { backlog } = leader;
  if (!backlog.active) {
    return { covered: false, why: 'the leader has no replication backlog' };
  }
  const next = position.offset + 1;
  const current = position.id === leader.position.id;
  const previous =
    leader.previous !== null && position.id === leader.previous.id && next <= leader.previous.offset;
  if (!current && !previous) {
    return {
      covered: false,
      why: `its replication id ${short(position.id)} is not one the leader continues (${short(leader.position.id)}${
        leader.previous === null
          ? ''
          : `, before offset ${leader.previous.offset}: ${short(leader.previous.id)}`
      })`,
    };
  }
  if (next < backlog.firstByte) {
    return {
      covered: false,
      why: `it stands at offset ${position.offset} and the leader's backlog begins at ${backlog.firstByte}: ${
        backlog.firstByte - next
      } bytes are gone`,
    };
  }
  if (next > backlog.firstByte + backlog.length) {
    return {
      covered: false,
      why: `it stands at offset ${position.offset}, ahead of the leader's ${leader.position.offset}: it is from another history`,
    };
  }
  return { covered: true, missing: leader.position.offset - position.offset };
}

function short(id: string): string {
  return `${id.slice(0, 8)}…`;
}

/** Twice what is expected: estimates of load time and write rate are rough, and a retry costs time as well. */
const BACKLOG_SAFETY = 2;
const MEBIBYTE = 1024 * 1024;

/**
 * The backlog, in bytes, that still covers a position after `seconds` at `writeRate` bytes a second, rounded up to
 * a mebibyte.
 */
export function backlogNeeded(missing: number, writeRate: number, seconds: number): number {
  const expected = missing + writeRate * seconds;
  return Math.ceil((expected * BACKLOG_SAFETY) / MEBIBYTE + 1) * MEBIBYTE;
}

const SMALLEST_BACKLOG = 16 * MEBIBYTE;
const LARGEST_BACKLOG = 1024 * MEBIBYTE;

/**
 * The backlog, in bytes, that a database's processes are configured with: a quarter of its memory limit, within
 * bounds. Redis takes the memory only as the backlog fills.
 */
export function configuredBacklog(maxmemory: number): number {
  return Math.min(LARGEST_BACKLOG, Math.max(SMALLEST_BACKLOG, Math.ceil(maxmemory / 4)));
}
