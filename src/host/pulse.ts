/** The pulse of a host: its own processes, and the leaders of its followers as they are seen from here. */

import type { Credentials } from '../connections/credentials.js';
import type { HostProcess, ReplicationPosition } from '../fleet/facts.js';
import type { Pulse } from '../fleet/lease.js';
import { parseLife, parseReplication, type ReplicationFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import type { Clock } from './leaseClock.js';
import { processWatch, type Peer, type ProcessWatch } from './watching.js';

/** An unanswered question makes us look soon whether the process still exists. */
const LOOK_AFTER_MS = 60;

/** What is known of one process. */
export interface Sight {
  readonly database: string;
  readonly endpoint: Endpoint;
  /** null: not one of this host, or not running. */
  readonly pid: number | null;
  /** null: not asked long enough to say. */
  readonly pulse: Pulse | null;
  /** As last seen; null before its first answer. */
  readonly replication: ReplicationFacts | null;
  readonly runId: string | null;
  /** `min-replicas-to-write`: how a leader is kept from taking writes; null before it was read. */
  readonly minReplicas: number | null;
}

export interface Pulses {
  own(): readonly Sight[];
  leaders(): readonly Sight[];
  /** This host's processes, as found by what the kernel says. */
  watchOwn(processes: readonly HostProcess[]): void;
  watchLeaders(leaders: readonly { readonly database: string; readonly endpoint: Endpoint }[]): void;
  /** Asks everybody who does not owe an answer. Called every third of `downAfter`. */
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
  askedAt: number | null;
  answeredAt: number | null;
  asking: Promise<void> | null;
  /** Grows when `min-replicas-to-write` is set: an answer from before that is old. */
  settings: number;
}

export function pulses(dependencies: PulseDependencies): Pulses & { ended(database: string): void } {
  const { clock, downAfter, onChange } = dependencies;
  const own = new Map<string, Watched>();
  const leaders = new Map<string, Watched>();
  const leaderWatch = processWatch(dependencies.credentials, (database) => {
    // Refused or accepted: that says it. Its follower here loses it in the same moment.
    for (const watched of [leaders.get(database), own.get(database)]) if (watched) void ask(watched);
  });

  function see(watched: Watched, seen: Partial<Sight>): void {
    const before = watched.sight;
    watched.sight = { ...before, ...seen };
    if (shape(before) !== shape(watched.sight)) onChange();
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
    const soon = mine ? setTimeout(() => lookWhetherGone(watched), LOOK_AFTER_MS) : undefined;
    const late = setTimeout(() => setImmediate(() => silentIfLate(watched)), dueIn(watched));
    try {
      const seen = mine ? await readOwn(watched, watch) : await readLeader(sight, watch);
      watched.askedAt = null;
      watched.answeredAt = clock();
      see(watched, seen);
    } catch (error) {
      watched.strange = true;
      if (mine) lookWhetherGone(watched);
      else if (isRefused(error)) see(watched, { pulse: 'gone' });
      silentIfLate(watched);
    } finally {
      clearTimeout(soon);
      clearTimeout(late);
    }
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

  async function readOwn(watched: Watched, watch: ProcessWatch): Promise<Partial<Sight>> {
    const { sight } = watched;
    const redis = await watch.connection(sight);
    if (!watched.strange) {
      const replication = parseReplication(await redis.info('replication'));
      watched.strange = isStrange(sight, replication);
      return { replication, pulse: 'up' };
    }
    const { settings } = watched;
    const [info, minReplicas] = await Promise.all([
      redis.info('server', 'persistence', 'replication'),
      redis.config('GET', 'min-replicas-to-write').catch(() => null),
    ]);
    const replication = parseReplication(info);
    const { runId, loading } = parseLife(info);
    watched.strange = loading || replication.link?.up === false;
    return {
      replication,
      runId,
      pulse: loading ? 'loading' : 'up',
      ...(Array.isArray(minReplicas) && settings === watched.settings
        ? { minReplicas: Number(minReplicas[1]) }
        : {}),
    };
  }

  async function readLeader(peer: Peer, watch: ProcessWatch): Promise<Partial<Sight>> {
    const redis = await watch.connection(peer);
    try {
      await redis.ping();
      return { pulse: 'up' };
    } catch (error) {
      if (error instanceof Error && /^LOADING\b/.test(error.message)) return { pulse: 'loading' };
      throw error;
    }
  }

  function keep(
    all: Map<string, Watched>,
    wanted: readonly (Peer & { readonly gone: boolean })[],
    watch: ProcessWatch,
  ): void {
    const names = new Set(wanted.map(({ database }) => database));
    for (const database of [...all.keys()].filter((name) => !names.has(name))) {
      all.delete(database);
      watch.drop(database);
      onChange();
    }
    for (const { database, endpoint, pid, gone } of wanted) {
      const known = all.get(database);
      if (known !== undefined && isSame(known.sight, { database, endpoint, pid })) continue;
      // What was seen last of a process that is gone is still worth saying.
      const last = known?.sight.endpoint.port === endpoint.port ? known.sight : null;
      const pulse: Pulse | null = gone ? 'gone' : null;
      const fresh: Sight = {
        database,
        endpoint,
        pid,
        pulse,
        replication: null,
        runId: null,
        minReplicas: null,
      };
      const watched: Watched = {
        sight: gone && last !== null ? { ...last, pid, pulse } : fresh,
        watch,
        strange: true,
        askedAt: null,
        answeredAt: null,
        asking: null,
        settings: 0,
      };
      all.set(database, watched);
      onChange();
      void ask(watched);
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
      for (const watched of [...own.values(), ...leaders.values()]) void ask(watched);
    },
    ended(database) {
      const watched = own.get(database);
      if (watched === undefined || lookWhetherGone(watched)) return;
      watched.strange = true;
      void ask(watched);
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

/** Others set what keeps a process from taking writes, too: whoever promotes it, for one. */
function isStrange({ minReplicas, replication: before }: Sight, now: ReplicationFacts): boolean {
  return now.link?.up === false || minReplicas !== 0 || before?.role !== now.role;
}

function isSame(sight: Sight, peer: Peer): boolean {
  const { endpoint } = sight;
  return (
    endpoint.address === peer.endpoint.address &&
    endpoint.port === peer.endpoint.port &&
    sight.pid === peer.pid
  );
}

/** Everything that others must hear of at once: not the position, which moves all the time. */
function shape({ pulse, runId, replication, minReplicas }: Sight): string {
  return `${pulse ?? ''} ${runId ?? ''} ${replication?.role ?? ''} ${linkOf(replication) ?? ''} ${minReplicas ?? ''}`;
}

export function linkOf(replication: ReplicationFacts | null): 'up' | 'down' | null {
  if (!replication?.link) return null;
  return replication.link.up ? 'up' : 'down';
}

export function positionOf(replication: ReplicationFacts | null): ReplicationPosition | null {
  return replication?.position ?? null;
}

function isRefused(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ECONNREFUSED';
}
