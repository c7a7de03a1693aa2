/** Which follower leads next when a leader has failed, and when an engineer has to say so first. Pure. */

import type { ReplicationPosition } from './facts.js';
import type { FenceNeeded, LeaderVerdict } from './failure.js';
import type { Detection, Fleet } from './fleet.js';
import { showSize } from './quantities.js';
import { sameEndpoint, showEndpoint } from './record.js';
import type { DatabaseRecord, Endpoint, Promotion } from './record.js';

/** How it is known that an old leader takes no more writes. */
export type Fencing =
  /** Its process does not exist any more. */
  | 'gone'
  /** It was told to follow nobody, and obeyed. */
  | 'demoted'
  /** It did not obey, and was killed. */
  | 'killed'
  /** Its host's lease ran out: its agent fenced it. */
  | 'lease'
  /** Nobody could fence it, and an engineer said that it may be done all the same. */
  | 'approved';

/** What happened, or would happen, to one database of a promotion. */
export type PromotionOutcome =
  | {
      readonly database: string;
      readonly outcome: 'promoted';
      readonly record: DatabaseRecord;
      readonly from: Endpoint;
      readonly to: Endpoint;
      /** Bytes of the stream that the old leader is known to have had and the new one has not; 0 unless more is known. */
      readonly behindBytes: number;
    }
  /** Only of a dry run. */
  | {
      readonly database: string;
      readonly outcome: 'would be promoted';
      readonly from: Endpoint;
      readonly to: Endpoint;
      readonly behindBytes: number;
      readonly fence: FenceNeeded;
      /** Names of the steps that would wait for an engineer. */
      readonly approvals: readonly string[];
    }
  | { readonly database: string; readonly outcome: 'refused'; readonly why: string };

/** A database of the request, with what is believed of its leader. */
export interface PromotionCase {
  readonly database: string;
  readonly epoch: number;
  readonly leader: Endpoint;
  readonly verdict: LeaderVerdict;
  /** How it takes no more writes, where nothing has to be done for that. */
  readonly fencing: Fencing | null;
  /** As the agent of the leader's host last published it; null: unknown. */
  readonly leaderPosition: ReplicationPosition | null;
  /** Who would lead as it looks now; it is looked at again before it is done. */
  readonly choice: PromotionChoice;
  /** It was promoted a moment ago: the sentence that asks for an engineer's word. null: it was not. */
  readonly again: string | null;
}

/** What was seen of a process that might lead next. Sizes are bytes. */
export type CandidateSeen =
  | { readonly answers: false; readonly why: string }
  | {
      readonly answers: true;
      readonly role: 'leader' | 'follower';
      readonly loading: boolean;
      readonly position: ReplicationPosition;
      /** The history that it continues, and the first offset that is its own. */
      readonly previous: ReplicationPosition | null;
      readonly link: {
        readonly up: boolean;
        readonly synchronising: boolean;
        /** Milliseconds; null: it is not down, or was never up. */
        readonly downForMs: number | null;
      } | null;
    };

export interface Candidate {
  readonly endpoint: Endpoint;
  readonly seen: CandidateSeen;
}

export interface PromotionQuestion {
  readonly database: string;
  readonly leader: Endpoint;
  readonly leaderPosition: ReplicationPosition | null;
  /** The record's follower first. */
  readonly followers: readonly Candidate[];
  /** The old leader's own process, where it was started anew and follows nobody. */
  readonly reborn: CandidateSeen | null;
  readonly lagLimit: number;
  /** An engineer named this database in `allowDataLoss`. */
  readonly lossAllowed: boolean;
}

export type PromotionChoice =
  | {
      readonly may: true;
      readonly to: Endpoint;
      /** Known to be missing there; 0 unless more is known. */
      readonly behindBytes: number;
      /** What is lost, or may be, where an engineer allowed that. null: nothing is known to be. */
      readonly loss: string | null;
    }
  | { readonly may: false; readonly why: string };

/** How a candidate stands to the history of the old leader. */
interface Standing {
  readonly endpoint: Endpoint;
  readonly leads: boolean;
  /** Where it stands in that history; null: in another one, or in none. */
  readonly offset: number | null;
  readonly behindBytes: number;
  /** Why it may lead only by `allowDataLoss`; null: it may. */
  readonly objection: string | null;
  /** Why it can not lead in any case. */
  readonly obstacle: string | null;
}

/** Without knowing where its leader stood, a follower counts as complete only when it lost it this short a time ago. */
const LOST_JUST_NOW_MS = 60_000;

/**
 * The most advanced follower that was fully synchronised and is not known to lack more than the limit. One that leads
 * already, because an earlier attempt made it, comes first. With `lossAllowed`: otherwise the one with the most data.
 */
export function choosePromotion(question: PromotionQuestion): PromotionChoice {
  const standings = question.followers.map((candidate) => standingOf(candidate, question));
  const able = standings.filter(({ obstacle }) => obstacle === null);
  const best = first(able.filter(({ objection }) => objection === null));
  if (best !== null) return { may: true, to: best.endpoint, behindBytes: best.behindBytes, loss: null };
  if (!question.lossAllowed) return { may: false, why: refusal(question, standings) };
  const reborn = question.reborn === null ? [] : [rebornStanding(question, question.reborn)];
  const rest = first([...able, ...reborn.filter(({ obstacle }) => obstacle === null)]);
  if (rest === null) return { may: false, why: refusal(question, standings) };
  return { may: true, to: rest.endpoint, behindBytes: rest.behindBytes, loss: rest.objection };
}

/** The most advanced; of equals the first, which is the record's follower. */
function first(standings: readonly Standing[]): Standing | null {
  const value = ({ leads, offset }: Standing): number => (leads ? Infinity : (offset ?? -1));
  return standings.toSorted((a, b) => (value(a) === value(b) ? 0 : value(b) - value(a)))[0] ?? null;
}

function standingOf({ endpoint, seen }: Candidate, question: PromotionQuestion): Standing {
  const none = { endpoint, leads: false, offset: null, behindBytes: 0, objection: null, obstacle: null };
  const name = showEndpoint(endpoint);
  if (!seen.answers) return { ...none, obstacle: `${name} does not answer (${seen.why})` };
  if (seen.loading)
    return { ...none, obstacle: `${name} is still loading its data, and can lead only after that` };
  const { leaderPosition, lagLimit } = question;
  const offset = offsetIn(seen, leaderPosition);
  const leads = seen.role === 'leader' && seen.previous !== null;
  if (offset === null) {
    return {
      ...none,
      objection:
        leaderPosition === null
          ? `${name} was never fully synchronised since it was started, as far as anybody knows`
          : `${name} was never fully synchronised with ${showEndpoint(question.leader)}: it does not share its replication history`,
    };
  }
  const behindBytes = leaderPosition === null ? 0 : Math.max(0, leaderPosition.offset - offset);
  const standing = { ...none, leads, offset, behindBytes };
  if (seen.link?.synchronising === true) {
    return {
      ...standing,
      objection: `${name} is in the middle of a full synchronisation, and holds its old data`,
    };
  }
  if (behindBytes > lagLimit) {
    return {
      ...standing,
      objection: `${name} is ${showSize(behindBytes)} behind what its leader is known to have had, and ${showSize(lagLimit)} is the limit`,
    };
  }
  const lostFor = seen.link?.up === false ? seen.link.downForMs : null;
  if (leaderPosition === null && lostFor !== null && lostFor > LOST_JUST_NOW_MS) {
    return {
      ...standing,
      objection: `${name} lost its leader ${Math.round(lostFor / 60_000)} min ago, and nobody knows how far that one had got since`,
    };
  }
  return standing;
}

/**
 * Where it stands in the history of the old leader. A process that leads, or follows one that took over, continues
 * that history under a new id: then the point counts where the two part. null: it does not share it.
 */
function offsetIn(
  { role, position, previous, link }: Extract<CandidateSeen, { answers: true }>,
  leader: ReplicationPosition | null,
): number | null {
  if (leader === null) {
    if (role === 'leader') return previous === null ? null : previous.offset - 1;
    const wasUp = link !== null && (link.up || link.downForMs !== null) && position.offset > 0;
    return wasUp ? position.offset : null;
  }
  if (position.id === leader.id) return position.offset;
  if (previous === null || previous.id !== leader.id) return null;
  // One that follows goes on in the same history; one that was made to lead ended there.
  return role === 'leader'
    ? previous.offset - 1
    : Math.max(previous.offset - 1, Math.min(position.offset, leader.offset));
}

function rebornStanding(question: PromotionQuestion, seen: CandidateSeen): Standing {
  const standing = standingOf({ endpoint: question.leader, seen }, question);
  const name = showEndpoint(question.leader);
  const behind = standing.behindBytes > 0 ? `, which is ${showSize(standing.behindBytes)} behind` : '';
  return {
    ...standing,
    leads: false,
    objection: `the process of ${name} was started anew: it has what was in its data file${behind}`,
    obstacle: seen.answers && seen.role === 'leader' ? `${name} leads` : standing.obstacle,
  };
}

function refusal(
  { database, leader, reborn, lossAllowed }: PromotionQuestion,
  standings: readonly Standing[],
): string {
  const kept = 'Nothing was changed.';
  const again = `redis-fleet promote ${database} --allow-data-loss ${database}`;
  const obstacles = standings.flatMap(({ obstacle }) => obstacle ?? []);
  const objections = standings.flatMap(({ objection }) => objection ?? []);
  const leadersOwn =
    reborn?.answers === true && !reborn.loading
      ? `Its leader's process on ${leader.host} was started anew with the data file it had; to let that one lead again: ${again}.`
      : `Bring the leader's process on ${leader.host} back, with its data file, and follow with: ${again}; or restore a backup.`;
  if (objections.length === 0) {
    const lost =
      standings.length === 0
        ? `${database} has no follower that could lead`
        : `Leader and follower of ${database} are both lost: ${obstacles.join('; ')}`;
    const loading = standings.some(({ obstacle }) => obstacle?.includes('loading') === true);
    return loading
      ? `${database} has no follower that could lead now: ${obstacles.join('; ')}. ${kept} Wait until it has loaded, then start this again.`
      : `${lost}. ${kept} What they hold lies on their hosts as it was. Bring the follower back and start this again. ${leadersOwn}`;
  }
  const reasons = [...objections, ...obstacles].join('; ');
  if (lossAllowed) return `No process of ${database} can lead: ${reasons}. ${kept} ${leadersOwn}`;
  return (
    `No follower of ${database} may lead without a loss: ${reasons}. ${kept} ` +
    `To bring the old leader back instead, see redis.log on ${leader.host}. If what is missing may be lost: ${again}`
  );
}

/** null, or the sentence that asks for an engineer's word: the database was promoted a moment ago. */
export function promotedAgain(
  { database, promotion }: DatabaseRecord,
  { notAgainWithin }: Pick<Detection, 'notAgainWithin'>,
  now: number,
): string | null {
  if (promotion === undefined) return null;
  const ago = now - Date.parse(promotion.at);
  if (ago >= notAgainWithin) return null;
  return (
    `${database} was promoted ${Math.max(0, Math.round(ago / 1000))} s ago already (by ${promotion.by}, away from ${promotion.from.host}), ` +
    'and its new leader has failed as well: something may be wrong that another promotion does not mend.'
  );
}

/** What counts as "at the same time" with the failures of now. */
const SAME_TIME_MS = 60_000;
/** So few servers are never too many. */
const NEVER_TOO_MANY = 2;

/**
 * null, or the sentence that asks for an engineer's word: leaders on too many servers fail at the same time, which is
 * more often the watcher's network than the leaders.
 *
 * @param failed of this promotion
 * @param others every record: those that another promotion owns, or that were promoted a moment ago, count as well
 */
export function tripsBreaker(
  failed: readonly { readonly database: string; readonly leader: Endpoint }[],
  others: readonly DatabaseRecord[],
  fleet: Pick<Fleet, 'servers' | 'detection'>,
  now: number,
): string | null {
  const serverOf = (leader: Endpoint): string =>
    fleet.servers.find(({ hosts }) => hosts.some(({ name }) => name === leader.host))?.name ?? leader.host;
  const own = new Set(failed.map(({ database }) => database));
  const hit = new Set(failed.map(({ leader }) => serverOf(leader)));
  for (const { database, leader, operation, promotion } of others) {
    if (own.has(database)) continue;
    const recent = promotion !== undefined && now - Date.parse(promotion.at) < SAME_TIME_MS;
    if (recent) hit.add(serverOf(promotion.from));
    else if (operation?.type === 'promoteFollower') hit.add(serverOf(leader));
  }
  const { breaker } = fleet.detection;
  const most = Math.max(NEVER_TOO_MANY, (fleet.servers.length * breaker) / 100);
  if (failed.length === 0 || hit.size <= most) return null;
  return (
    `Leaders on ${hit.size} of ${fleet.servers.length} servers failed at the same time (${[...hit].toSorted().join(', ')}), and more than ` +
    `${most === NEVER_TOO_MANY ? String(NEVER_TOO_MANY) : `${breaker} %`} asks for a person: it may be the network between them and the control plane that failed.`
  );
}

/** The old leader's process was told, or found, to take no writes: what it still had sent arrives before its link ends. */
export function linkEnds(fencing: Fencing): boolean {
  return fencing === 'gone' || fencing === 'demoted' || fencing === 'killed';
}

/** Was this record changed by the very run that owns it now? Then an earlier attempt of its promotion came through. */
export function promotedByOwner(
  record: DatabaseRecord,
): record is DatabaseRecord & { readonly promotion: Promotion } {
  const { operation, promotion } = record;
  if (operation === undefined) return false;
  return promotion?.runId === operation.runId && promotion.by === operation.workflowId;
}

/** Of a record that an earlier attempt changed: how far behind the new leader was is not known any more. */
export function outcomeOf(record: DatabaseRecord & { readonly promotion: Promotion }): PromotionOutcome {
  const { database, promotion, leader } = record;
  return { database, outcome: 'promoted', record, from: promotion.from, to: leader, behindBytes: 0 };
}

/** The follower of the record first, then the others. */
export function followersOf({ follower, extraFollowers }: DatabaseRecord): readonly Endpoint[] {
  return [...(follower === null ? [] : [follower]), ...(extraFollowers ?? [])];
}

/** Who follows the new leader from now on, of those that are left: the most advanced that answers. */
export function nextFollower(to: Endpoint, followers: readonly Candidate[]): Endpoint | null {
  const left = followers.filter(
    ({ endpoint, seen }) => !sameEndpoint(endpoint, to) && seen.answers && seen.role === 'follower',
  );
  const offset = ({ seen }: Candidate): number => (seen.answers ? seen.position.offset : -1);
  return left.toSorted((a, b) => offset(b) - offset(a))[0]?.endpoint ?? null;
}
