/** The pulse of a host: its own processes, and the leaders of its followers as they are seen from here. */

import type { Credentials } from '../connections/credentials.js';
import type { HostProcess } from '../fleet/facts.js';
import type { Endpoint } from '../fleet/record.js';
import type { Clock } from './leaseClock.js';
import { isUnsettled, probeBriefly, probeElsewhere, probeFully } from './probe.js';
import { firstSight, isOther, isSame, type Sight, type Wanted } from './sight.js';
import { processWatch, type ProcessWatch } from './watching.js';

/** An unanswered question makes us look soon whether the process still exists. */
const LOOK_AFTER_MS = 60;
/** A process that ends may shut its connections a moment before its port: whoever connects in between learns nothing. */
const ASK_AGAIN_MS = 25;
const ASK_AGAIN_TIMES = 3;
/**
 * Own processes that are well are not asked in every round: their silence counts from their last answer, that of leaders
 * elsewhere from the question; and nobody waits for a follower's.
 */
const EVERY = { leader: 2, follower: 3 } as const;

export interface Pulses {
  own(): readonly Sight[];
  leaders(): readonly Sight[];
  /** This host's processes, as found by what the kernel says. */
  watchOwn(processes: readonly HostProcess[]): void;
  watchLeaders(leaders: readonly { readonly database: string; readonly endpoint: Endpoint }[]): void;
  /** Asks those whose turn it is, and who do not owe an answer. Called every third of `downAfter`. */
  ask(): void;
  /** What `min-replicas-to-write` was just set to. */
  noteMinReplicas(database: string, value: number): void;
  /** Asks a process of this host now, and returns when it has answered, or did not. */
  refresh(database: string): Promise<void>;
  close(): void;
}

export interface PulseDependencies {
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly downAfter: () => number;
  /** Own processes: the same connections serve the report. */
  readonly own: ProcessWatch;
  /** Whether a pid still is the process of that database's directory. */
  readonly stillRuns: (database: string, pid: number) => boolean;
  /** Something other than a position changed. */
  readonly onChange: () => void;
}

interface Watched {
  sight: Sight;
  readonly watch: ProcessWatch;
  /** Its run id and its data are to be asked for: a new connection, or it loads, or it synchronises. */
  strange: boolean;
  /** What `INFO replication` said last. */
  lastInfo: string | null;
  askedAt: number | null;
  answeredAt: number | null;
  asking: Promise<void> | null;
  /** How often it was asked again soon since its last answer. */
  again: number;
  /** Grows when `min-replicas-to-write` is set: an answer from before that is old. */
  settings: number;
}

export function pulses(dependencies: PulseDependencies): Pulses & { ended(database: string): void } {
  const { clock, downAfter, onChange } = dependencies;
  const own = new Map<string, Watched>();
  const leaders = new Map<string, Watched>();
  let round = 0;
  const leaderWatch = processWatch(dependencies.credentials, (database) => {
    // Refused or accepted: that says it. Its follower here loses it in the same moment.
    for (const watched of [leaders.get(database), own.get(database)]) if (watched) askAnew(watched);
  });

  function see(watched: Watched, seen: Partial<Sight>): void {
    const before = watched.sight;
    watched.sight = { ...before, ...seen };
    if (isOther(before, watched.sight)) onChange();
  }

  /** In how many rounds it is asked once. */
  function turnOf({ strange, sight: { database, pulse, replication } }: Watched): number {
    if (strange || pulse !== 'up' || replication === null) return 1;
    // Who has just been promoted is asked as a leader is.
    return leaders.has(database) ? EVERY[replication.role] : EVERY.leader;
  }

  function isGone({ sight: { database, pid } }: Watched): boolean {
    return pid !== null && !dependencies.stillRuns(database, pid);
  }

  function lookWhetherGone(watched: Watched): boolean {
    if (!isGone(watched)) return false;
    see(watched, { pulse: 'gone', pid: null });
    return true;
  }

  function ask(watched: Watched): Promise<void> {
    if (own.get(watched.sight.database) === watched && watched.sight.pid === null) return Promise.resolve();
    watched.asking ??= question(watched).finally(() => (watched.asking = null));
    return watched.asking;
  }

  async function question(watched: Watched): Promise<void> {
    const { sight, watch } = watched;
    const mine = own.get(sight.database) === watched;
    watched.askedAt ??= clock();
    try {
      const seen = mine
        ? await readOwn(watched)
        : { pulse: await probeElsewhere(await watch.connection(sight)) };
      watched.askedAt = null;
      watched.again = 0;
      // Its last words were read after its end was seen: nobody would ask it again, and it would be up for ever.
      if (watched.sight.pid !== sight.pid) return;
      watched.answeredAt = clock();
      see(watched, seen);
    } catch (error) {
      watched.strange = true;
      if (mine) lookWhetherGone(watched);
      else if (isRefused(error)) leaderGone(watched);
      else askAgainSoon(watched);
      silentIfLate(watched);
    }
  }

  /** Its follower here lost it in the same moment. */
  function leaderGone(watched: Watched): void {
    if (watched.sight.pulse === 'gone') return;
    see(watched, { pulse: 'gone' });
    const follower = own.get(watched.sight.database);
    if (follower) askAnew(follower);
  }

  function askAgainSoon(watched: Watched): void {
    if (watched.again++ >= ASK_AGAIN_TIMES) return;
    setTimeout(() => {
      if (leaders.get(watched.sight.database) === watched) askNow(watched);
    }, ASK_AGAIN_MS);
  }

  /** Few questions are not answered by then: one timer for all of a round. */
  function pursueSoon(all: readonly Watched[]): void {
    setTimeout(() => {
      for (const watched of all) {
        if (watched.askedAt === null) continue;
        if (own.get(watched.sight.database) === watched && lookWhetherGone(watched)) continue;
        setTimeout(() => setImmediate(() => silentIfLate(watched)), dueIn(watched));
      }
    }, LOOK_AFTER_MS);
  }

  function askNow(watched: Watched): void {
    void ask(watched);
    pursueSoon([watched]);
  }

  /** A question that is under way was put to the connection that has just ended: it may find out nothing. */
  function askAnew(watched: Watched): void {
    if (watched.asking === null) askNow(watched);
    else void watched.asking.then(() => askNow(watched));
  }

  /**
   * Silence counts from the last answer, but nobody is silent who was not asked. That of a leader elsewhere counts from
   * the question: its agent, if it is cut off, counts its follower's silence, and must be done with it first.
   */
  function silentFor({ askedAt, answeredAt, watch }: Watched): number {
    if (askedAt === null) return 0;
    const now = clock();
    if (watch === leaderWatch) return now - askedAt;
    return Math.min(now - (answeredAt ?? askedAt), now - askedAt + downAfter() / 3);
  }

  function dueIn(watched: Watched): number {
    return Math.max(0, downAfter() - silentFor(watched)) + 1;
  }

  function silentIfLate(watched: Watched): void {
    if (watched.askedAt === null || watched.sight.pulse === 'gone' || silentFor(watched) < downAfter())
      return;
    if (own.get(watched.sight.database) === watched && lookWhetherGone(watched)) return;
    see(watched, { pulse: 'silent' });
    // The connection may be what is broken; a process of this host keeps it, and answers when it wakes.
    if (watched.watch === leaderWatch) leaderWatch.drop(watched.sight.database);
  }

  async function readOwn(watched: Watched): Promise<Partial<Sight>> {
    const redis = await watched.watch.connection(watched.sight);
    const { settings, sight } = watched;
    if (!watched.strange && sight.minReplicas === 0) {
      const seen = await probeBriefly(redis, watched.lastInfo);
      // Most often nothing has happened.
      if (seen === null) return { pulse: 'up' };
      const { info, ...replication } = seen;
      watched.lastInfo = info;
      watched.strange = isUnsettled(replication) || replication.role !== sight.replication?.role;
      return { replication, pulse: 'up' };
    }
    const { minReplicas, ...seen } = await probeFully(redis);
    watched.lastInfo = null;
    watched.strange = seen.pulse === 'loading' || isUnsettled(seen.replication);
    return { ...seen, ...(minReplicas === null || settings !== watched.settings ? {} : { minReplicas }) };
  }

  function keep(all: Map<string, Watched>, wanted: readonly Wanted[], watch: ProcessWatch): void {
    const names = new Set(wanted.map(({ database }) => database));
    for (const database of [...all.keys()].filter((name) => !names.has(name))) {
      all.delete(database);
      watch.drop(database);
      onChange();
    }
    for (const peer of wanted) {
      const { database } = peer;
      const known = all.get(database);
      if (known !== undefined && isSame(known.sight, peer)) continue;
      const watched: Watched = {
        sight: firstSight(peer, known?.sight ?? null),
        watch,
        strange: true,
        lastInfo: null,
        askedAt: null,
        answeredAt: null,
        asking: null,
        again: 0,
        settings: 0,
      };
      all.set(database, watched);
      onChange();
      askNow(watched);
    }
  }

  return {
    own: () => [...own.values()].map(({ sight }) => sight),
    leaders: () => [...leaders.values()].map(({ sight }) => sight),
    watchOwn(processes) {
      keep(
        own,
        processes.map(({ database, endpoint, pid }) => ({ database, endpoint, pid, gone: pid === null })),
        dependencies.own,
      );
    },
    watchLeaders(wanted) {
      keep(
        leaders,
        wanted.map((leader) => ({ ...leader, pid: null, gone: false })),
        leaderWatch,
      );
    },
    ask() {
      round++;
      const due = [...own.values()].filter((watched, index) => (round + index) % turnOf(watched) === 0);
      const all = [...due, ...leaders.values()];
      for (const watched of all) void ask(watched);
      pursueSoon(all);
    },
    ended(database) {
      const watched = own.get(database);
      if (watched === undefined || lookWhetherGone(watched)) return;
      watched.strange = true;
      askAnew(watched);
    },
    noteMinReplicas(database, value) {
      const watched = own.get(database);
      if (watched === undefined) return;
      watched.settings++;
      see(watched, { minReplicas: value });
    },
    async refresh(database) {
      const watched = own.get(database);
      if (watched === undefined) return;
      // The answer that is under way may be older.
      await watched.asking;
      await ask(watched);
    },
    close() {
      own.clear();
      leaders.clear();
      leaderWatch.close();
    },
  };
}

function isRefused(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
}
