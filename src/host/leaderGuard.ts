/** Sees to it that no leader of this host serves without a right to: fences it, and lets it serve again. */

import type { Credentials } from '../connections/credentials.js';
import type { Log } from '../connections/log.js';
import type { Redis } from '../connections/redis.js';
import { messageOf } from '../fleet/errors.js';
import { leaseTimes, type LeaseSettings } from '../fleet/lease.js';
import {
  mayLead,
  nextMove,
  standingOf,
  witnessesOf,
  type LeadingProcess,
  type Move,
  type OwnLease,
} from '../fleet/leaseKeeping.js';
import type { DatabaseRecord } from '../fleet/record.js';
import {
  deposedSentence,
  fencedSentence,
  killedSentence,
  servesSentence,
  whyFenced,
} from './fenceSentences.js';
import type { Clock } from './leaseClock.js';
import { isAcknowledged } from './proof.js';
import type { Pulses } from './pulse.js';
import type { Sight } from './sight.js';
import { waking } from './waking.js';
import { processWatch, type ProcessWatch } from './watching.js';

/** `min-replicas-to-write` of a leader that takes no writes: nobody has so many followers. */
const FENCED = 99;
/** While the lease is overdue, and nobody knows yet whether it is serious. */
const ALERT_MS = 10;
/** A word that was not answered for so long, by a process that answers, was not heard. */
const UNHEARD_MS = 1_000;
/** The record is changed already, and there is time to obey: a process that was not killed is a follower sooner. */
const DEPOSED_WITHIN_MS = 500;
const CALM_MS = 100;

export interface LeaderGuard {
  /** Why a process takes no writes by our doing; null: it is not fenced. */
  fenced(database: string): string | null;
  /** Something changed: look now. */
  wake(): void;
  /** The records changed: what was read before is old. */
  recordsChanged(): void;
  run(signal: AbortSignal): Promise<void>;
}

export interface LeaderGuardDependencies {
  readonly host: string;
  readonly credentials: Credentials;
  readonly settings: () => LeaseSettings;
  readonly lease: () => OwnLease;
  readonly pulses: Pulses;
  /** As last seen. */
  readonly record: (database: string) => DatabaseRecord | null;
  /** Never stale. @throws FleetError */
  readonly readRecord: (database: string) => Promise<DatabaseRecord | null>;
  /** Own processes: the connections of the pulse. */
  readonly watch: ProcessWatch;
  /** SIGKILL to that very process. */
  readonly kill: (database: string, pid: number) => Promise<boolean>;
  /** Makes it follow nobody, for good, or kills it. */
  readonly depose: (sight: Sight, obeyWithinMs: number) => Promise<'gone' | 'demoted' | 'killed'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Guarded {
  provenAt: number | null;
  asked: { at: number; pending: boolean } | null;
  consulted: { at: number; term: number; mayLead: boolean } | null;
  /** What it was told, and has not said yet that it obeyed. */
  told: { what: 'closing' | 'opening'; since: number } | null;
  /** Why, for people. */
  reason: string | null;
  busy: boolean;
  killed: boolean;
}

export function leaderGuard(dependencies: LeaderGuardDependencies): LeaderGuard {
  const { host, pulses, watch, clock, log, record } = dependencies;
  const guarded = new Map<string, Guarded>();
  const change = waking();
  const times = () => leaseTimes(dependencies.settings());
  /** Of their own: an acknowledgement is waited for, and a fence must not queue behind that. */
  const proofs = processWatch(dependencies.credentials, () => undefined);

  function guardOf(database: string): Guarded {
    const known = guarded.get(database);
    if (known !== undefined) return known;
    const fresh: Guarded = {
      provenAt: null,
      asked: null,
      consulted: null,
      told: null,
      reason: null,
      busy: false,
      killed: false,
    };
    guarded.set(database, fresh);
    return fresh;
  }

  function leading(): readonly Sight[] {
    return pulses.own().filter(({ pid, replication }) => pid !== null && replication?.role === 'leader');
  }

  function describe(sight: Sight, guard: Guarded): LeadingProcess {
    const known = record(sight.database);
    return {
      standing: standingOf(sight.endpoint, known),
      witnessed: known !== null && witnessesOf(sight.endpoint, known).length > 0,
      fence: guard.told?.what ?? (isClosed(sight) ? 'closed' : 'open'),
      closingSince: guard.told?.since ?? null,
      provenAt: guard.provenAt,
      asked: guard.asked,
      consulted: guard.consulted,
    };
  }

  async function prove({ database, endpoint, pid }: Sight, guard: Guarded): Promise<void> {
    const known = record(database);
    if (known === null) return;
    const asked = { at: clock(), pending: true };
    guard.asked = asked;
    const { proofWithin } = times();
    const late = setTimeout(() => {
      asked.pending = false;
      change.wake();
    }, proofWithin);
    try {
      const redis = await proofs.connection({ database, endpoint, pid });
      const left = asked.at + proofWithin - clock();
      // Late ones count from when they were asked for, too.
      if (left > 0 && (await isAcknowledged(redis, witnessesOf(endpoint, known), left)))
        guard.provenAt = Math.max(guard.provenAt ?? asked.at, asked.at);
    } catch {
      // No answer is no proof.
    } finally {
      clearTimeout(late);
      asked.pending = false;
      change.wake();
    }
  }

  async function setMinReplicas(redis: Redis, database: string, value: number): Promise<void> {
    await redis.config('SET', 'min-replicas-to-write', String(value));
    pulses.noteMinReplicas(database, value);
  }

  function moveOf(sight: Sight, guard: Guarded): Move {
    if (guard.killed) return 'none';
    return nextMove(describe(sight, guard), dependencies.lease(), times(), clock());
  }

  async function close(sight: Sight, guard: Guarded): Promise<void> {
    const { database } = sight;
    const told = { what: 'closing', since: clock() } as const;
    guard.told = told;
    const owner = guard.consulted?.mayLead === false ? record(database)?.operation?.workflowId : undefined;
    const why = whyFenced(host, owner);
    try {
      const redis = await watch.connection(sight);
      await setMinReplicas(redis, database, FENCED);
      if (guard.told === told) guard.told = null;
      guard.reason = why;
      log.warn(fencedSentence(database, why));
    } catch {
      // What does not obey is killed.
    }
  }

  function kill({ database, pid }: Sight, guard: Guarded): void {
    if (pid === null) return;
    guard.killed = true;
    log.error(killedSentence(database, pid, host));
    void dependencies.kill(database, pid);
  }

  async function consult({ database, endpoint }: Sight, guard: Guarded): Promise<void> {
    const { term } = dependencies.lease();
    const at = clock();
    const found = await dependencies.readRecord(database);
    guard.consulted = { at, term, mayLead: found !== null && mayLead(endpoint, found) };
    change.wake();
  }

  async function serve(sight: Sight, guard: Guarded): Promise<void> {
    const redis = await watch.connection(sight);
    // It may have taken long to be connected: the right must exist at this moment.
    if (moveOf(sight, guard) !== 'serve') return;
    const told = { what: 'opening', since: clock() } as const;
    guard.told = told;
    await setMinReplicas(redis, sight.database, 0);
    if (guard.told === told) opened(sight, guard);
  }

  function opened({ database }: Sight, guard: Guarded): void {
    guard.told = null;
    guard.reason = null;
    log.info(servesSentence(database, host));
  }

  /** What hung may obey late, or its connection was lost before it heard: its pulse says which. */
  function settle(sight: Sight, guard: Guarded): void {
    if (guard.told?.what !== 'opening' || sight.pulse !== 'up') return;
    if (!isClosed(sight)) opened(sight, guard);
    else if (clock() - guard.told.since > UNHEARD_MS + 2 * dependencies.settings().downAfter)
      guard.told = null;
  }

  async function depose(sight: Sight): Promise<void> {
    const { database, endpoint } = sight;
    const found = await dependencies.readRecord(database);
    if (standingOf(endpoint, found) !== 'not named' || found === null) return;
    const how = await dependencies.depose(sight, DEPOSED_WITHIN_MS);
    await pulses.refresh(database);
    if (how === 'gone') return;
    log.warn(deposedSentence(host, found, how));
  }

  async function carryOut(move: Move, sight: Sight, guard: Guarded): Promise<void> {
    switch (move) {
      case 'none':
        return;
      case 'prove':
        return prove(sight, guard);
      case 'fence':
        return close(sight, guard);
      case 'kill':
        kill(sight, guard);
        return;
      case 'consult':
      case 'serve':
      case 'depose': {
        if (guard.busy) return;
        guard.busy = true;
        try {
          if (move === 'consult') await consult(sight, guard);
          else if (move === 'serve') await serve(sight, guard);
          else await depose(sight);
        } finally {
          guard.busy = false;
        }
      }
    }
  }

  /** @returns how soon to look again. Milliseconds */
  function look(): number {
    const untilOverdue = dependencies.lease().sentAt + times().proveFrom - clock();
    const sights = leading();
    let soon = Math.max(untilOverdue, sights.length === 0 ? CALM_MS : ALERT_MS);
    const names = new Set(sights.map(({ database }) => database));
    for (const database of [...guarded.keys()]) if (!names.has(database)) guarded.delete(database);
    for (const sight of sights) {
      const guard = guardOf(sight.database);
      settle(sight, guard);
      const closed = isClosed(sight);
      if (closed) guard.reason ??= 'an earlier run of the agent had fenced it';
      const move = moveOf(sight, guard);
      if (closed || guard.told !== null || move !== 'none') soon = Math.min(soon, CALM_MS);
      carryOut(move, sight, guard).catch((error: unknown) => log.debug(messageOf(error)));
    }
    const asking = [...guarded.values()].some(({ asked }) => asked?.pending === true);
    if (untilOverdue > 0 && !asking) proofs.close();
    return asking ? Math.min(soon, ALERT_MS) : soon;
  }

  return {
    fenced: (database) => guarded.get(database)?.reason ?? null,
    wake: () => change.wake(),
    recordsChanged() {
      for (const guard of guarded.values()) if (guard.consulted?.mayLead === false) guard.consulted = null;
      change.wake();
    },
    async run(signal) {
      const stopped = (): boolean => signal.aborted;
      try {
        while (!stopped()) {
          await change.pause(look(), signal);
          // Whoever was frozen hears first what had arrived meanwhile.
          await new Promise((resolve) => setImmediate(resolve));
        }
      } finally {
        proofs.close();
      }
    },
  };
}

function isClosed({ minReplicas }: Sight): boolean {
  return (minReplicas ?? 0) >= FENCED;
}
