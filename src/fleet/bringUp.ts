/**
 * How a follower gets its data. The ways are tried in the order of what spares the leader most, and the answer says
 * why one was taken and why the ones before it were not.
 */

import { backlogNeeded, coverage, type Coverage } from './backlog.js';
import type { DataFile, HostMemory, ProcessFacts, ReplicationPosition } from './facts.js';
import { forkHeadroom, spendable } from './headroom.js';
import { LONGEST_PAUSE_S, pausedForkHeadroom, pauseNeeded } from './pausedFork.js';
import { showSize } from './quantities.js';
import { showEndpoint, type Endpoint } from './record.js';
import { BRING_UP_WAYS, type BringUpWay } from './requests.js';

/** A data file, or why there is none that can be used. */
export type FileFinding =
  { readonly found: true; readonly file: DataFile } | { readonly found: false; readonly why: string };

/** What there is of the follower's process before anything is done. */
export type FollowerProcess =
  { readonly state: 'down' } | { readonly state: 'running'; readonly facts: ProcessFacts };

/** Another follower of the same leader that could give its data. */
export interface ChainSource {
  readonly endpoint: Endpoint;
  readonly facts: ProcessFacts;
  readonly memory: HostMemory;
}

/** A verified backup, by its manifest. */
export interface StoredBackup {
  readonly id: string;
  /** ISO 8601. */
  readonly takenAt: string;
  /** Of the file as Redis wrote it. */
  readonly bytes: number;
  readonly position: ReplicationPosition | null;
}

export interface BringUpFacts {
  readonly leader: { readonly endpoint: Endpoint; readonly facts: ProcessFacts; readonly memory: HostMemory };
  readonly follower: { readonly endpoint: Endpoint; readonly process: FollowerProcess };
  readonly ownFile: FileFinding;
  readonly backup: FileFinding;
  /** In the store, newest first; a sentence where that could not be told. Absent: nobody looked there. */
  readonly stored?: readonly StoredBackup[] | { readonly unknown: string };
  readonly sources: readonly ChainSource[];
  /** Bytes a second that the leader's replication stream grows by. */
  readonly writeRate: number;
  /** Only this way, when an engineer asked for it. */
  readonly only?: BringUpWay;
  /** Writes may wait for a fork of the leader that fits in no other way, no longer than so many seconds. */
  readonly pauseSeconds?: number;
}

export type ChosenWay =
  | { readonly way: 'following' }
  /** `running`: its process lives and holds the data in memory. */
  | { readonly way: 'own-files'; readonly running: boolean; readonly backlogBytes: number }
  | { readonly way: 'backup'; readonly file: string; readonly backlogBytes: number }
  /** `ids`: of backups in the store, the best first; the others are for the case that it is damaged. */
  | { readonly way: 'backup'; readonly ids: readonly string[]; readonly backlogBytes: number }
  | { readonly way: 'chain'; readonly source: Endpoint; readonly backlogBytes: number }
  /** `pauseSeconds`: the fork fits only while writes wait, and they may wait so long. */
  | { readonly way: 'full'; readonly pauseSeconds?: number };

export interface RejectedWay {
  readonly way: BringUpWay;
  readonly why: string;
}

export type BringUpChoice =
  | {
      readonly possible: true;
      readonly chosen: ChosenWay;
      readonly why: string;
      readonly rejected: readonly RejectedWay[];
    }
  | { readonly possible: false; readonly rejected: readonly RejectedWay[] };

type Verdict =
  | { readonly usable: true; readonly chosen: ChosenWay; readonly why: string }
  | { readonly usable: false; readonly why: string };

export function chooseWay(facts: BringUpFacts): BringUpChoice {
  const following = alreadyFollowing(facts);
  if (following !== null) {
    return { possible: true, chosen: { way: 'following' }, why: following, rejected: [] };
  }
  const rejected: RejectedWay[] = [];
  for (const way of BRING_UP_WAYS) {
    if (facts.only !== undefined && facts.only !== way) {
      continue;
    }
    const verdict = judge(way, facts);
    if (verdict.usable) {
      return { possible: true, chosen: verdict.chosen, why: verdict.why, rejected };
    }
    rejected.push({ way, why: verdict.why });
  }
  return { possible: false, rejected };
}

function judge(way: BringUpWay, facts: BringUpFacts): Verdict {
  switch (way) {
    case 'own-files':
      return judgeOwnFiles(facts);
    case 'backup':
      return judgeBackup(facts);
    case 'chain':
      return judgeChain(facts);
    case 'full':
      return judgeFull(facts);
  }
}

function alreadyFollowing(facts: BringUpFacts): string | null {
  const { process } = facts.follower;
  const link = process.state === 'running' ? process.facts.link : null;
  const { endpoint } = facts.leader;
  return link !== null && link.up && link.address === endpoint.address && link.port === endpoint.port
    ? `the follower is connected to its leader ${showEndpoint(endpoint)} already`
    : null;
}

function judgeOwnFiles(facts: BringUpFacts): Verdict {
  const { process } = facts.follower;
  if (process.state === 'running' && process.facts.role === 'follower') {
    const verdict = judgePosition(
      facts,
      process.facts.position,
      'its process still runs, and',
      process.facts.usedMemory,
    );
    return verdict.usable
      ? {
          usable: true,
          chosen: { way: 'own-files', running: true, backlogBytes: verdict.backlogBytes },
          why: verdict.why,
        }
      : verdict;
  }
  if (!facts.ownFile.found) {
    return { usable: false, why: facts.ownFile.why };
  }
  const { file } = facts.ownFile;
  const verdict = judgePosition(
    facts,
    file.header.position,
    'the data file in its own directory',
    file.bytes,
  );
  return verdict.usable
    ? {
        usable: true,
        chosen: { way: 'own-files', running: false, backlogBytes: verdict.backlogBytes },
        why: verdict.why,
      }
    : verdict;
}

function judgeBackup(facts: BringUpFacts): Verdict {
  if (!facts.backup.found) {
    return facts.stored === undefined
      ? { usable: false, why: facts.backup.why }
      : judgeStore(facts, facts.stored);
  }
  const { file } = facts.backup;
  const verdict = judgePosition(facts, file.header.position, `the backup ${file.path}`, file.bytes);
  return verdict.usable
    ? {
        usable: true,
        chosen: { way: 'backup', file: file.path, backlogBytes: verdict.backlogBytes },
        why: verdict.why,
      }
    : verdict;
}

/** It has to travel before it is loaded. */
const TRAVEL_TIMES = 2;

function judgeStore(facts: BringUpFacts, stored: NonNullable<BringUpFacts['stored']>): Verdict {
  if ('unknown' in stored) return { usable: false, why: stored.unknown };
  const verdicts = stored.map(({ id, takenAt, bytes, position }) => ({
    id,
    verdict: judgePosition(
      facts,
      position,
      `the backup ${id} of ${takenAt} in the store`,
      TRAVEL_TIMES * bytes,
    ),
  }));
  const usable = verdicts.flatMap(({ id, verdict }) => (verdict.usable ? [{ id, ...verdict }] : []));
  const [best] = usable;
  if (best === undefined) {
    const newest = verdicts[0]?.verdict;
    const why =
      newest?.usable === false ? newest.why : 'no backup was named, and the store has no verified one';
    return { usable: false, why };
  }
  const backlogBytes = Math.max(...usable.map((one) => one.backlogBytes));
  return {
    usable: true,
    chosen: { way: 'backup', ids: usable.map(({ id }) => id), backlogBytes },
    why: best.why,
  };
}

/** Is a look into the store worth its time? Not where something is as good, or what was asked for is something else. */
export function mayNeedStore(
  { backup, only }: Pick<BringUpFacts, 'backup' | 'only'>,
  choice: BringUpChoice,
): boolean {
  if (backup.found || (only !== undefined && only !== 'backup')) return false;
  return !choice.possible || choice.chosen.way === 'chain' || choice.chosen.way === 'full';
}

function judgeChain(facts: BringUpFacts): Verdict {
  const refusals: string[] = [];
  for (const source of facts.sources) {
    const name = showEndpoint(source.endpoint);
    const { link, loading, usedMemory } = source.facts;
    if (link === null || !link.up || link.synchronising || loading) {
      refusals.push(`${name} is not connected to the leader itself`);
      continue;
    }
    const headroom = forkHeadroom(source.memory, usedMemory);
    if (!headroom.fits) {
      refusals.push(`a fork on ${name} needs ${showSize(headroom.short)} more memory than its host can give`);
      continue;
    }
    const verdict = judgePosition(facts, positionOfLinked(source, facts), `the follower ${name}`, usedMemory);
    if (verdict.usable) {
      return {
        usable: true,
        chosen: { way: 'chain', source: source.endpoint, backlogBytes: verdict.backlogBytes },
        why: `${verdict.why}; the fork is on that follower`,
      };
    }
    refusals.push(verdict.why);
  }
  return {
    usable: false,
    why: refusals.length > 0 ? refusals.join('; ') : 'the database has no other follower to copy from',
  };
}

/** It moves on with its leader, and may have been looked at later: what is ahead then is no other history. */
function positionOfLinked(
  { facts: { position } }: ChainSource,
  { leader }: BringUpFacts,
): ReplicationPosition {
  const { id, offset } = leader.facts.position;
  return position.id === id ? { id, offset: Math.min(position.offset, offset) } : position;
}

function judgeFull(facts: BringUpFacts): Verdict {
  const { endpoint, facts: leader, memory } = facts.leader;
  const headroom = forkHeadroom(memory, leader.usedMemory);
  if (headroom.fits) {
    return {
      usable: true,
      chosen: { way: 'full' },
      why: `nothing that spares the leader is possible, and a fork of ${showSize(leader.usedMemory)} fits on ${endpoint.host}, with ${showSize(headroom.left)} to spare`,
    };
  }
  const short = `a fork of the leader could need ${showSize(leader.usedMemory)}, and ${endpoint.host} is ${showSize(headroom.short)} short of that`;
  const paused = pausedForkHeadroom(memory, leader.usedMemory);
  if (!paused.fits)
    return { usable: false, why: `${short}, and even while writes wait ${showSize(paused.short)}` };
  const needed = pauseNeeded(leader.usedMemory);
  if (facts.pauseSeconds === undefined) {
    const longer = needed > LONGEST_PAUSE_S ? `, but for its ${needed} s they may not wait` : '';
    return { usable: false, why: `${short}; while writes wait it would fit${longer}` };
  }
  return {
    usable: true,
    chosen: { way: 'full', pauseSeconds: facts.pauseSeconds },
    why: `${short}; while writes wait it needs next to nothing, and they may wait ${facts.pauseSeconds} s (it may take ${needed} s)`,
  };
}

type PositionVerdict =
  | { readonly usable: true; readonly why: string; readonly backlogBytes: number }
  | { readonly usable: false; readonly why: string };

/** Can the leader continue from `position`, and still when `bytes` of data have been copied and loaded? */
function judgePosition(
  facts: BringUpFacts,
  position: ReplicationPosition | null,
  subject: string,
  bytes: number,
): PositionVerdict {
  const { leader } = facts;
  const covered: Coverage = coverage(leader.facts, position);
  if (!covered.covered) {
    return { usable: false, why: `${subject}: ${covered.why}` };
  }
  const needed = backlogNeeded(covered.missing, facts.writeRate, secondsToLoad(bytes));
  const growth = needed - leader.facts.backlog.size;
  if (growth > spendable(leader.memory)) {
    return {
      usable: false,
      why: `${subject}: while it is loaded the leader would need a backlog of ${showSize(needed)}, ${showSize(growth)} more than it has, which does not fit on ${leader.endpoint.host}`,
    };
  }
  return {
    usable: true,
    backlogBytes: Math.max(needed, leader.facts.backlog.size),
    why: `${subject} is ${showSize(covered.missing)} behind the leader, whose backlog covers that${
      growth > 0 ? ` once it is widened to ${showSize(needed)}` : ''
    }`,
  };
}

/** Slow on purpose: Redis loads 100 MB and more a second on an idle machine, and less where it matters. */
const LOAD_BYTES_PER_SECOND = 25 * 1024 * 1024;
const FIXED_SECONDS = 10;

function secondsToLoad(bytes: number): number {
  return FIXED_SECONDS + bytes / LOAD_BYTES_PER_SECOND;
}

/** The refusal, for an engineer: every way with its reason, and what would make one possible. */
export function explainImpossible(
  database: string,
  rejected: readonly RejectedWay[],
  { leader, pauseSeconds }: Pick<BringUpFacts, 'leader' | 'pauseSeconds'>,
): string {
  const reasons = rejected.map(({ way, why }) => `${way}: ${why}`).join('. ');
  const needed = pauseNeeded(leader.facts.usedMemory);
  const mayPause =
    pauseSeconds === undefined &&
    needed <= LONGEST_PAUSE_S &&
    rejected.some(({ way }) => way === 'full') &&
    pausedForkHeadroom(leader.memory, leader.facts.usedMemory).fits;
  const lastResort = mayPause
    ? ` Or, as the last resort, let writes wait while the leader forks, for ${needed} s at most: ` +
      `redis-fleet bring-up ${database} --pause-writes ${needed}`
    : '';
  return (
    `No way to bring up a follower of ${database} is safe now, and nothing was changed. ${reasons}. ` +
    `What would help: a backup of this database that is younger than the leader's backlog (take one where a follower ` +
    `is left, or name an RDB file: --backup FILE), ` +
    `more memory on the leader's host, or moving a database off it.${lastResort}`
  );
}
