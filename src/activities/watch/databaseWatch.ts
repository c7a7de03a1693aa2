/** One database as a watch sees it: the probes of its leader and follower, and what follows from them. */

import type { Credentials } from '../../connections/credentials.js';
import { judgeLeader } from '../../fleet/failure.js';
import type { LeaderSightings, LeaderVerdict } from '../../fleet/failure.js';
import type { Pulse } from '../../fleet/lease.js';
import { sameEndpoint } from '../../fleet/record.js';
import type { DatabaseRecord, Endpoint } from '../../fleet/record.js';
import type { WatchDecision } from '../../fleet/watching.js';
import type { WatchedDatabase } from '../../fleet/watchView.js';
import type { WarmConnections } from '../warmConnections.js';
import type { LeaseObserver } from './leaseObserver.js';
import { FOLLOWER_ASKED_EVERY_MS, FollowerProbe } from './followerProbe.js';
import { LeaderProbe } from './leaderProbe.js';

export interface DatabaseWatchOptions {
  readonly credentials: Pick<Credentials, 'administrator'>;
  readonly downAfterMs: number;
  /** Of the leader's process, as an earlier watch knew it. */
  readonly runId: string | null;
  /** The connections to followers. */
  readonly lend: WarmConnections['lend'];
  readonly onSeen: (watch: DatabaseWatch) => void;
}

/** Of `downAfter`: how often the follower of a leader that is missed is asked. */
const MISSED_FOLLOWER_SHARE = 0.4;
/** Who may demote the leader on purpose. */
const HANDS_OVER: ReadonlySet<string> = new Set(['switchover', 'moveDatabase', 'relocateDatabases']);

export class DatabaseWatch {
  readonly database: string;
  #record: DatabaseRecord;
  #leader: LeaderProbe;
  #follower: FollowerProbe | null;
  #sightings: LeaderSightings;
  #verdict: LeaderVerdict = { state: 'doubted', why: 'It was not looked at yet.' };
  /** For people. */
  #since = new Date().toISOString();
  /** By host. */
  readonly #heard = new Map<string, Pulse | null>();
  decision: WatchDecision = { act: 'nothing', why: 'Its leader was not looked at yet.' };

  constructor(
    record: DatabaseRecord,
    private readonly options: DatabaseWatchOptions,
  ) {
    this.database = record.database;
    this.#record = record;
    this.#leader = this.#probeLeader(record.leader, options.runId);
    this.#follower = this.#probeFollower(record);
    this.#sightings = this.sight(performance.now(), undefined, undefined, null);
  }

  get record(): DatabaseRecord {
    return this.#record;
  }

  get lastLedAt(): number | null {
    return this.#leader.lastLedAt;
  }

  get sightings(): LeaderSightings {
    return this.#sightings;
  }

  get verdict(): LeaderVerdict {
    return this.#verdict;
  }

  /** @returns whether it is led by another process now */
  update(record: DatabaseRecord): boolean {
    const before = this.#record;
    this.#record = record;
    const led = before.epoch === record.epoch && sameEndpoint(before.leader, record.leader);
    if (!led) {
      this.#heard.clear();
      this.#leader.close();
      // Asked with the next round: its clients come first, and there may be many.
      this.#leader = this.#probeLeader(record.leader, null);
    }
    const { follower: was } = before;
    const { follower: is } = record;
    const followed = was === is || (was !== null && is !== null && sameEndpoint(was, is));
    if (!led || !followed) {
      this.#follower?.close();
      this.#follower = this.#probeFollower(record);
      void this.#follower?.ask();
    }
    return !led;
  }

  /** Asks the leader; the follower where that is due, or somebody misses the leader. */
  ask(now: number): void {
    void this.#leader.askAgain();
    const missed = this.isMissed(now);
    const every = missed ? this.options.downAfterMs * MISSED_FOLLOWER_SHARE : FOLLOWER_ASKED_EVERY_MS;
    if ((this.#follower?.age(now) ?? 0) >= every) void this.#follower?.ask();
  }

  /** Something has changed: do not wait for the next round. */
  askAtOnce(): void {
    void this.#leader.ask();
    void this.#follower?.ask();
  }

  /** What an agent says of its leader. Said again, it is no news. */
  heard(host: string, pulse: Pulse | null): void {
    const before = this.#heard.get(host) ?? null;
    this.#heard.set(host, pulse);
    if (pulse !== before && pulse !== null) this.askAtOnce();
  }

  forgiveSilence(now: number): void {
    this.#leader.forgiveSilence(now);
  }

  /** By anybody, however briefly. */
  isMissed(now: number): boolean {
    return (
      this.#verdict.state !== 'well' ||
      this.#leader.sighting(now).seen !== 'leading' ||
      (this.#sightings.fromFollowerHost ?? 'up') !== 'up'
    );
  }

  /** @param ownerLives of the runbook that owns the record; null: not known */
  judge(
    now: number,
    ownLease: LeaseObserver | undefined,
    followersLease: LeaseObserver | undefined,
    ownerLives: boolean | null,
  ): LeaderVerdict {
    this.#sightings = this.sight(now, ownLease, followersLease, ownerLives);
    const verdict = judgeLeader(this.#sightings);
    const { control, followerLink } = this.#sightings;
    // Its follower follows it, so it has the data: somebody restarted it well.
    if (control.seen === 'reborn' && verdict.state !== 'failed' && followerLink?.up === true)
      this.#leader.adopt();
    if (verdict.state !== this.#verdict.state) this.#since = new Date().toISOString();
    this.#verdict = verdict;
    return verdict;
  }

  view(): Omit<WatchedDatabase, 'fenced' | 'policy' | 'maintenance' | 'attempt'> {
    const { epoch, leader, follower, operation, promotion } = this.#record;
    return {
      database: this.database,
      epoch,
      leader,
      follower,
      runId: this.#leader.runId,
      verdict: this.#verdict,
      since: this.#since,
      sightings: this.#sightings,
      decision: this.decision,
      owner: operation?.workflowId ?? null,
      promotion: promotion ?? null,
    };
  }

  close(): void {
    this.#leader.close();
    this.#follower?.close();
  }

  private sight(
    now: number,
    ownLease: LeaseObserver | undefined,
    followersLease: LeaseObserver | undefined,
    ownerLives: boolean | null,
  ): LeaderSightings {
    const { operation } = this.#record;
    const mayDemote = operation !== undefined && HANDS_OVER.has(operation.type) && ownerLives !== false;
    return {
      database: this.database,
      control: this.#leader.sighting(now),
      lease: ownLease?.sighting(now, this.database) ?? { state: 'nobody' },
      fromFollowerHost: followersLease?.fresh(now)?.leaders[this.database] ?? null,
      followerLink: this.#follower?.link(now) ?? null,
      downAfterMs: this.options.downAfterMs,
      ...(mayDemote ? { atWork: operation.workflowId } : {}),
    };
  }

  #probeLeader(endpoint: Endpoint, runId: string | null): LeaderProbe {
    const { credentials, downAfterMs, onSeen } = this.options;
    return new LeaderProbe({ endpoint, credentials, downAfterMs, runId, onSeen: () => onSeen(this) });
  }

  #probeFollower({ follower, leader }: DatabaseRecord): FollowerProbe | null {
    if (follower === null) return null;
    const { credentials, downAfterMs, lend, onSeen } = this.options;
    return new FollowerProbe({
      endpoint: follower,
      leader,
      credentials,
      downAfterMs,
      lend,
      onSeen: () => onSeen(this),
    });
  }
}
