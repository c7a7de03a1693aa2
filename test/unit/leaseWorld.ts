/**
 * A small world on a clock of its own: a leader with its agent, its follower, Consul, and somebody who promotes. Cables
 * fail, answers are late or lost, and the leader may not obey. What the agent does is the real decision.
 */

import {
  fencedAfterLosingFollower,
  LEASE_MARGIN,
  leaseTimes,
  type LeaseSettings,
} from '../../src/fleet/lease.js';
import { nextMove, type LeadingProcess } from '../../src/fleet/leaseKeeping.js';
import { SeededRandom } from '../../src/testbed/random.js';

/** From, until: milliseconds. */
export type Outage = readonly [number, number];

export interface WorldOptions {
  readonly settings: LeaseSettings;
  readonly seed: number;
  readonly lengthMs: number;
  /** Of the agent's way to Consul. */
  readonly consul: readonly Outage[];
  /** Of the way between leader and follower. */
  readonly link: readonly Outage[];
  /** The agent stands still. */
  readonly frozen: readonly Outage[];
  /** The process obeys nothing. */
  readonly deaf: readonly Outage[];
  /** Some answers come late, or too late. */
  readonly lateAnswers: boolean;
  /** Somebody promotes as soon as that is allowed, looking as a watch does. */
  readonly promoter: boolean;
  /** The agent of before had fenced it. */
  readonly fencedAtStart?: boolean;
}

export interface WorldResult {
  /** null: nobody was promoted. */
  readonly promotedAt: number | null;
  /** The last moment at which the leader would have acknowledged a write. */
  readonly servedLast: number;
  readonly killed: boolean;
  /** How often it was fenced. */
  readonly fences: number;
  readonly servesAtEnd: boolean;
}

const STEP = 5;
/** What a promoter that saw the follower lose its leader adds to the time that a fence takes. */
const PROMOTER_SLACK = 100;

interface Later {
  readonly at: number;
  readonly work: () => void;
}

export function runWorld(options: WorldOptions): WorldResult {
  const { settings, lengthMs } = options;
  const { ttl } = settings;
  const times = leaseTimes(settings);
  const seeded = new SeededRandom(options.seed);
  const random = (): number => seeded.next();
  const between = (least: number, most: number): number => least + random() * (most - least);
  const during = (outages: readonly Outage[], at: number): boolean =>
    outages.some(([from, until]) => at >= from && at < until);
  // Clocks run at different rates.
  const promoterRate = between(0.99, 1.01);

  let now = 0;
  let pending: Later[] = [];
  let soonest = Infinity;
  const later = (after: number, work: () => void): void => {
    pending.push({ at: now + after, work });
    soonest = Math.min(soonest, now + after);
  };
  /** Answers of a frozen agent wait. */
  const toAgent = (work: () => void): void => {
    if (during(options.frozen, now)) later(STEP, () => toAgent(work));
    else work();
  };

  // Consul.
  let document = { term: 0, version: 0, broken: false };
  const record: { leader: 'here' | 'follower'; claimed: boolean } = { leader: 'here', claimed: false };

  // The process.
  const redis = { fenced: options.fencedAtStart ?? false };
  const fate: { killed: boolean; promotedAt: number | null } = { killed: false, promotedAt: null };
  let servedLast = 0;
  let fences = 0;

  // The agent.
  const process: { -readonly [K in keyof LeadingProcess]: LeadingProcess[K] } = {
    standing: 'leader',
    witnessed: true,
    fence: redis.fenced ? 'closed' : 'open',
    closingSince: null,
    provenAt: null,
    asked: null,
    consulted: null,
  };
  let lease = { term: 0, sentAt: 0, afterBreak: false };
  let version: number | null = null;
  const renewal = { underWay: false, at: 0 };
  let busy = false;

  /** A request to Consul: done there, and answered, or one of both not. */
  function request(done: () => boolean, answered: (ok: boolean) => void, lost: () => void): void {
    const there = between(1, 10);
    const back = between(1, options.lateAnswers && random() < 0.02 ? ttl / 2 : 10);
    let over = false;
    const once = (work: () => void): void => {
      if (over) return;
      over = true;
      work();
    };
    if (!during(options.consul, now)) {
      later(there, () => {
        if (during(options.consul, now)) return;
        const ok = done();
        later(back, () => {
          if (!during(options.consul, now)) toAgent(() => once(() => answered(ok)));
        });
      });
    }
    later(times.requestWithin, () => toAgent(() => once(lost)));
  }

  function renew(): void {
    renewal.underWay = true;
    const sentAt = now;
    const settled = (nextAt: number): void => {
      renewal.underWay = false;
      renewal.at = nextAt;
    };
    const failed = (): void => {
      version = null;
      settled(Math.max(now, sentAt + times.retryEvery));
    };
    if (version === null) {
      let found = document;
      request(
        () => {
          found = { ...document };
          return true;
        },
        () => {
          const ours = lease.term > 0 && !found.broken && found.term === lease.term;
          const term = ours ? lease.term : Math.max(found.term, lease.term) + 1;
          write(term, found.version, ours ? lease.afterBreak : found.broken);
        },
        failed,
      );
    } else write(lease.term, version, lease.afterBreak);

    function write(term: number, expected: number, afterBreak: boolean): void {
      const sent = version === null ? now : sentAt;
      let written = 0;
      request(
        () => {
          if (document.version !== expected) return false;
          document = { term, version: document.version + 1, broken: false };
          written = document.version;
          return true;
        },
        (ok) => {
          if (!ok) {
            failed();
            return;
          }
          lease = { term, sentAt: sent, afterBreak };
          version = written;
          settled(sent + times.renewEvery);
        },
        failed,
      );
    }
  }

  const isDead = (): boolean => fate.killed;
  const serves = (): boolean => !fate.killed && !redis.fenced;

  function acknowledges(): boolean {
    return fate.promotedAt === null && !during(options.link, now);
  }

  /** One connection: what was sent first is done first, when it is not deaf. */
  const commands: { readonly at: number; readonly work: () => void; readonly obeyed: () => void }[] = [];

  function command(obeyed: () => void, work: () => void): void {
    commands.push({ at: Math.max(now + between(0, 5), commands.at(-1)?.at ?? 0), work, obeyed });
  }

  function obey(): void {
    if (fate.killed || during(options.deaf, now)) return;
    for (;;) {
      const [next] = commands;
      if (next === undefined || next.at > now) return;
      commands.shift();
      next.work();
      later(between(0, 3), () => toAgent(next.obeyed));
    }
  }

  function act(): void {
    switch (nextMove(process, lease, times, now)) {
      case 'none':
        return;
      case 'prove': {
        const asked = { at: now, pending: true };
        process.asked = asked;
        const settle = (): void => void (asked.pending = false);
        later(between(1, options.lateAnswers && random() < 0.05 ? times.proofWithin * 0.8 : 15), () => {
          if (!acknowledges() || fate.killed || during(options.deaf, now)) return;
          toAgent(() => {
            process.provenAt = Math.max(process.provenAt ?? asked.at, asked.at);
            settle();
          });
        });
        later(times.proofWithin, () => toAgent(settle));
        return;
      }
      case 'fence':
        process.fence = 'closing';
        process.closingSince = now;
        process.consulted = null;
        fences++;
        command(
          () => {
            if (process.fence !== 'closing') return;
            process.fence = 'closed';
            process.closingSince = null;
          },
          () => (redis.fenced = true),
        );
        return;
      case 'kill':
        fate.killed = true;
        return;
      case 'consult': {
        if (busy) return;
        busy = true;
        const at = now;
        const { term } = lease;
        let found = record;
        request(
          () => {
            found = { ...record };
            return true;
          },
          () => {
            const isLeader = found.leader === 'here';
            process.consulted = { at, term, mayLead: isLeader && !found.claimed };
            process.standing = isLeader ? 'leader' : 'not named';
            busy = false;
          },
          () => void (busy = false),
        );
        return;
      }
      case 'serve':
        if (busy) return;
        busy = true;
        process.closingSince = null;
        process.fence = 'opening';
        command(
          () => {
            if (process.fence === 'opening') process.fence = 'open';
            busy = false;
          },
          () => (redis.fenced = false),
        );
        return;
      case 'depose':
        command(
          () => (process.standing = 'unknown'),
          () => (redis.fenced = true),
        );
    }
  }

  // Who promotes: sees changes late, and counts by a clock of its own.
  let seenVersion = -1;
  let seenAt = 0;
  let linkDownSince: number | null = null;
  let promoting = false;
  const settledLink = fencedAfterLosingFollower(settings) + PROMOTER_SLACK;

  function promote(): void {
    if (document.version !== seenVersion) {
      const current = document.version;
      if (random() < 0.2) {
        seenVersion = current;
        seenAt = now;
      }
    }
    linkDownSince = during(options.link, now) ? (linkDownSince ?? now) : null;
    if (promoting || document.version === 0 || document.version !== seenVersion) return;
    const waited = (now - seenAt) * promoterRate >= ttl + LEASE_MARGIN;
    const lost = linkDownSince !== null && now - linkDownSince >= settledLink;
    if (!lost || !waited) {
      if (waited && random() < 0.001) breakLease(false);
      return;
    }
    breakLease(true);
  }

  /** A watch breaks a lease that it waited out, too, and may then promote nobody. */
  function breakLease(toPromote: boolean): void {
    promoting = true;
    const expected = seenVersion;
    record.claimed = true;
    later(between(1, 10), () => {
      const lives = document.version !== expected;
      if (!lives) document = { ...document, version: document.version + 1, broken: true };
      if (lives || !toPromote) {
        record.claimed = false;
        promoting = false;
        return;
      }
      later(between(1, 50), () => {
        // Its link came back meanwhile: then its leader was not fenced by its loss.
        if (linkDownSince === null || now - linkDownSince < settledLink) {
          record.claimed = false;
          promoting = false;
          return;
        }
        fate.promotedAt = now;
        record.leader = 'follower';
      });
    });
  }

  for (; now < lengthMs; now += STEP) {
    if (soonest <= now) {
      const due = pending.filter(({ at }) => at <= now);
      pending = pending.filter(({ at }) => at > now);
      soonest = Math.min(...pending.map(({ at }) => at));
      for (const { work } of due.sort((one, other) => one.at - other.at)) work();
    }
    if (!during(options.frozen, now) && !isDead()) {
      if (!renewal.underWay && now >= renewal.at) renew();
      act();
    }
    obey();
    if (options.promoter) promote();
    if (serves() && !during(options.deaf, now)) servedLast = now;
  }
  return { ...fate, servedLast, fences, servesAtEnd: serves() };
}
