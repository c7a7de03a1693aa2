/** Which follower leads next when a leader has failed. Pure. */

import type { ReplicationPosition } from './facts.js';
import { showSize } from './quantities.js';
import { sameEndpoint, showEndpoint } from './record.js';
import type { Endpoint } from './record.js';

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
        /** Milliseconds, in steps of a second, since its leader's last word; null: it never had any, or is down. */
        readonly silentForMs: number | null;
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

/** Who follows the new leader from now on, of those that are left: the most advanced that answers. */
export function nextFollower(to: Endpoint, followers: readonly Candidate[]): Endpoint | null {
  const left = followers.filter(
    ({ endpoint, seen }) => !sameEndpoint(endpoint, to) && seen.answers && seen.role === 'follower',
  );
  const offset = ({ seen }: Candidate): number => (seen.answers ? seen.position.offset : -1);
  return left.toSorted((a, b) => offset(b) - offset(a))[0]?.endpoint ?? null;
}
