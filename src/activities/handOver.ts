/**
 * The hand-over itself: the only part of a switchover in which writes wait.
 *
 * 1 pause writes on the old leader; 2 the new one has all of the stream; 3 the old leader follows the new one, so that
 * nobody takes writes; 4 the new one has what was added until then; 5 the new one leads; 6 the record says so; 7 unpause.
 * In this order: were the new one promoted first, a pause that runs out would lose what is written meanwhile.
 *
 * Until the new leader was told to lead (5), any trouble gives writes back to the old one. From then on the only way is
 * forward. An attempt that was killed anywhere is finished or undone by the next.
 */

import type { Credentials } from '../connections/credentials.js';
import { describeRedisError } from '../connections/redis.js';
import { FleetError, messageOf, type ErrorKind } from '../fleet/errors.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { sameEndpoint, showEndpoint, type Endpoint, type StoredRecord } from '../fleet/record.js';
import type { Author } from '../fleet/recordChanges.js';
import { handOverStart, type SwitchoverVerdict } from '../fleet/switchover.js';
import type { RecordStore } from '../records/databases.js';
import { Late, offsetIn, openSide, together, within, type Side } from './handOverSides.js';
import { holdRecord, mustOwn, recordNewLeader } from './handOverRecord.js';
import { leads, takeTheLead } from './leading.js';
import type { HandedOver } from './switchoverContract.js';

export interface HandOver {
  readonly database: string;
  /** Of the record as it was planned. */
  readonly epoch: number;
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly author: Author;
  readonly records: RecordStore;
  readonly credentials: Credentials;
  /** The last look before anything is changed. null: no more than an end of what was broken off. */
  readonly judge:
    | ((seen: {
        readonly stored: StoredRecord;
        readonly leader: ProcessFacts;
        readonly follower: Side['seen'];
      }) => Promise<SwitchoverVerdict>)
    | null;
}

/** Writes wait no longer than this, whoever dies: Redis itself ends the pause. */
const PAUSE_MS = 1_500;
/** From the pause on: when the new leader must have caught up, and when the old one may still be demoted. */
const CAUGHT_UP_BY_MS = 1_000;
const DEMOTED_BY_MS = 1_200;
/** For what the old leader's stream still got between the pause and its demotion. */
const COMPLETE_BY_MS = 1_400;
/** A process that is well answers within a millisecond. */
const SILENT_AFTER_MS = 400;
const BROKEN_OFF = 'it was broken off';
const CONSUL_SAYS_WITHIN_MS = 2_000;

/** @throws HandOverUndone, LeaderUnfit, OwnershipLost, RecordChanged, NotFenced, Unreachable */
export async function handOver(order: HandOver): Promise<HandedOver> {
  return await onBothSides(order, (attempt) => attempt.run());
}

/** Ends one that was broken off, and begins none. @throws NotFenced, Unreachable */
export async function settleHandOver(order: Omit<HandOver, 'judge'>): Promise<void> {
  try {
    await onBothSides({ ...order, judge: null }, (attempt) => attempt.run());
  } catch (error) {
    if (!(error instanceof FleetError) || !SETTLED.has(error.kind)) throw error;
  }
}

/** Undone, or in the hands of others. */
const SETTLED: ReadonlySet<ErrorKind> = new Set<ErrorKind>([
  'HandOverUndone',
  'LeaderUnfit',
  'OwnershipLost',
  'RecordChanged',
]);

async function onBothSides<T>(order: HandOver, use: (attempt: Attempt) => Promise<T>): Promise<T> {
  const { from, to, credentials } = order;
  const [old, next] = await Promise.all([openSide(from, credentials), openSide(to, credentials)]);
  try {
    return await use(new Attempt(order, old, next));
  } finally {
    old.redis.disconnect();
    next.redis.disconnect();
  }
}

class Attempt {
  /** The old leader was told to follow, or may have been by an attempt before this one. */
  private demoting = false;
  private began = 0;

  constructor(
    private readonly order: HandOver,
    private readonly old: Side,
    private readonly next: Side,
  ) {}

  async run(): Promise<HandedOver> {
    const { database, from, to } = this.order;
    const stored = await mustOwn(this.order);
    if (stored.record.epoch === this.order.epoch + 1 && sameEndpoint(stored.record.leader, to)) {
      await this.unpause();
      return { database, record: stored.record, from, to, pausedMs: null };
    }
    const start = handOverStart(from, to, this.old.seen, this.next.seen);
    switch (start.at) {
      case 'nowhere':
        throw new FleetError(
          'LeaderUnfit',
          `Database ${database} is not handed over: ${start.why} Nothing more was changed. See redis-fleet check and ` +
            `redis-fleet why ${database}; if the leader is lost: redis-fleet promote ${database}`,
        );
      case 'in doubt':
        throw this.inDoubt(start.why);
      case 'undoing':
        this.demoting = true;
        return await this.undo(start.why);
      case 'promoted':
        return await this.finish(stored, null);
      case 'demoted':
        this.demoting = true;
        if (this.order.judge === null) return await this.undo(BROKEN_OFF);
        this.began = performance.now();
        return await this.complete(stored, null);
      case 'the beginning':
        return await this.fromTheBeginning(stored);
    }
  }

  private async fromTheBeginning(stored: StoredRecord): Promise<HandedOver> {
    const { old, next } = this;
    if (old.seen.seen !== 'up') throw new TypeError('it was seen up');
    const { judge } = this.order;
    if (judge === null) return await this.undo(BROKEN_OFF);
    const verdict = await judge({ stored, leader: old.seen.facts, follower: next.seen });
    if (!verdict.may) {
      // An attempt before this one may have paused it.
      await this.unpause();
      throw new FleetError('HandOverUndone', verdict.why);
    }
    this.began = performance.now();
    try {
      const [, replication] = await within(
        SILENT_AFTER_MS,
        together(
          old.redis,
          ['CLIENT', 'PAUSE', String(PAUSE_MS), 'WRITE'],
          // From here on no write reaches this database, until step 6.
          ['INFO', 'replication'],
        ),
      );
      await this.caughtUp(offsetIn(replication), CAUGHT_UP_BY_MS);
      if (this.spent() > DEMOTED_BY_MS) throw new Late(DEMOTED_BY_MS);
    } catch (error) {
      return await this.undo(this.said(error));
    }
    return await this.complete(stored, this.began);
  }

  /** Nobody takes writes, from the demotion until the promotion. */
  private async complete(stored: StoredRecord, began: number | null): Promise<HandedOver> {
    const { old, next, order } = this;
    try {
      this.demoting = true;
      const [, replication] = await within(
        SILENT_AFTER_MS,
        together(
          old.redis,
          ['REPLICAOF', order.to.address, String(order.to.port)],
          // What it still got after the pause: heartbeats for its followers. And writes, had the pause run out.
          ['INFO', 'replication'],
        ),
      );
      await this.caughtUp(offsetIn(replication), COMPLETE_BY_MS);
    } catch (error) {
      return await this.undo(this.said(error));
    }
    try {
      await within(SILENT_AFTER_MS, takeTheLead(next.redis));
    } catch (error) {
      await this.rejected(error);
    }
    return await this.finish(stored, began);
  }

  /** The new one leads. */
  private async finish(stored: StoredRecord, began: number | null): Promise<HandedOver> {
    const { database, from, to } = this.order;
    try {
      const record = await recordNewLeader(this.order, stored, () => this.newOneLeads());
      const pausedMs = began === null ? null : performance.now() - began;
      return { database, record, from, to, pausedMs };
    } finally {
      // It is a follower: paused, it would not apply what it follows.
      await this.unpause();
    }
  }

  private reachedOffset = Number.NaN;

  /** Waits until the new leader has applied the stream up to `goal`. */
  private async caughtUp(goal: number, byMs: number): Promise<void> {
    if (Number.isNaN(goal)) throw new Error('INFO says no master_repl_offset');
    while (!(this.reachedOffset >= goal)) {
      if (this.spent() >= byMs) {
        throw new Error(
          `${showEndpoint(this.order.to)} was still ${goal - this.reachedOffset} bytes behind after ${byMs} ms`,
        );
      }
      const replication = await within(SILENT_AFTER_MS, this.next.redis.info('replication'));
      this.reachedOffset = offsetIn(replication);
    }
  }

  /** The promotion was sent and not confirmed. Returns when it leads all the same. */
  private async rejected(error: unknown): Promise<void> {
    const { next, order } = this;
    const role: unknown = await within(SILENT_AFTER_MS, next.redis.role()).catch(() => null);
    if (leads(role)) return;
    // It answered on the same connection, after the order: it did not obey.
    if (role !== null) return await this.undo(this.said(error));
    if (next.redis.status === 'ready') throw this.inDoubt(this.said(error));
    throw new FleetError(
      'Unreachable',
      `${showEndpoint(order.to)} closed the connection when it was told to lead database ${order.database}. ` +
        'It is looked at again, and writes go on at one of the two.',
    );
  }

  private async newOneLeads(): Promise<boolean> {
    return leads(await within(SILENT_AFTER_MS, this.next.redis.role()).catch(() => null));
  }

  /** Gives writes back to the old leader. @throws always */
  private async undo(why: string): Promise<never> {
    const { order, old } = this;
    const { database, from } = order;
    try {
      if (this.demoting) {
        // Nobody else may have promoted another one meanwhile.
        await within(CONSUL_SAYS_WITHIN_MS, holdRecord(order));
        const [, , role] = await together(
          old.redis,
          ['REPLICAOF', 'NO', 'ONE'],
          ['CLIENT', 'UNPAUSE'],
          ['ROLE'],
        );
        if (!leads(role)) throw new Error('it does not lead');
      } else {
        await together(old.redis, ['CLIENT', 'UNPAUSE']);
      }
    } catch (error) {
      if (error instanceof FleetError && error.kind === 'OwnershipLost') throw error;
      if (!this.demoting) {
        throw new FleetError(
          'HandOverUndone',
          `Database ${database} is not handed over: ${why}; and its leader ${showEndpoint(from)} did not confirm that writes go on ` +
            `(${this.said(error)}). It was not demoted, and its pause ends by itself within ${PAUSE_MS} ms. ` +
            `If it failed: redis-fleet promote ${database}`,
        );
      }
      throw new FleetError(
        'Unreachable',
        `Database ${database} is not handed over: ${why}; and its leader ${showEndpoint(from)} did not confirm that it leads again ` +
          `(${this.said(error)}). It is told so until it does.`,
      );
    }
    throw new FleetError(
      'HandOverUndone',
      `Database ${database} is not handed over: ${why}. Writes go on at ${showEndpoint(from)}, and none was lost. ` +
        `Look at the follower (redis-fleet status), then start again: redis-fleet switchover ${database}`,
    );
  }

  private async unpause(): Promise<void> {
    if (this.old.seen.seen !== 'up') return;
    // Unheard, the pause ends by itself.
    await within(SILENT_AFTER_MS, together(this.old.redis, ['CLIENT', 'UNPAUSE'])).catch(() => undefined);
  }

  private inDoubt(why: string): FleetError {
    const { database, from, to } = this.order;
    return new FleetError(
      'NotFenced',
      `Nobody leads database ${database} now: ${showEndpoint(from)} was demoted, and whether ${showEndpoint(to)} leads is unknown (${why}). ` +
        `No write is lost. See to it that the process on ${to.host} is gone or answers, then retry.`,
    );
  }

  /** Milliseconds since the pause. */
  private spent(): number {
    return performance.now() - this.began;
  }

  private said(error: unknown): string {
    return messageOf(describeRedisError(this.order.to, error, SILENT_AFTER_MS)).replace(/\.$/, '');
  }
}
