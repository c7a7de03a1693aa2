/** Watches all leaders of one server, in memory: what it needs of Consul and Temporal it follows, and can do without. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from '../../connections/credentials.js';
import type { Log } from '../../connections/log.js';
import { messageOf } from '../../fleet/errors.js';
import type { Fleet } from '../../fleet/fleet.js';
import { DEFAULT_DETECTION } from '../../fleet/fleet.js';
import { maintenanceOf } from '../../fleet/maintenance.js';
import type { DatabaseRecord } from '../../fleet/record.js';
import { decide, fingerprint } from '../../fleet/watching.js';
import type { WatchedDatabase, WatchView } from '../../fleet/watchView.js';
import type { LeaseStore } from '../../records/leases.js';
import type { WarmConnections } from '../warmConnections.js';
import { DatabaseWatch } from './databaseWatch.js';
import { LeaseObserver } from './leaseObserver.js';
import type { Owners } from './owners.js';
import type { Promotions } from './promotions.js';
import type { Surroundings } from './surroundings.js';
import type { Telling } from './telling.js';

export interface ServerWatchDependencies {
  readonly server: string;
  readonly workflowId: string;
  readonly worker: string;
  readonly credentials: Credentials;
  /** The connections to followers. */
  readonly lend: WarmConnections['lend'];
  readonly surroundings: Surroundings;
  readonly leases: LeaseStore;
  readonly owners: Owners;
  readonly telling: Telling;
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** Run ids of the leaders as an earlier watch knew them: `<database> <epoch>` → run id. */
  readonly knownRunIds: ReadonlyMap<string, string>;
  readonly promotions: (watch: ServerWatch) => Promotions;
}

export class ServerWatch {
  readonly promotions: Promotions;
  readonly #databases = new Map<string, DatabaseWatch>();
  readonly #leases = new Map<string, LeaseObserver>();
  readonly #breaking = new Set<string>();
  #downAfterMs = DEFAULT_DETECTION.downAfter;
  #judging = false;
  #stopped = false;

  constructor(private readonly dependencies: ServerWatchDependencies) {
    this.promotions = dependencies.promotions(this);
  }

  /** Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const unlisten = this.dependencies.surroundings.listen(() => this.#follow());
    try {
      if (this.dependencies.surroundings.known) this.#follow();
      await this.#rounds(signal);
    } finally {
      this.#stopped = true;
      unlisten();
      for (const watch of this.#databases.values()) watch.close();
      for (const lease of this.#leases.values()) lease.close();
    }
  }

  /** Something changed: judge all again, once for all changes of this moment. */
  wake(): void {
    if (this.#judging || this.#stopped) return;
    this.#judging = true;
    setImmediate(() => {
      this.#judging = false;
      if (!this.#stopped) this.#judge(performance.now());
    });
  }

  isMoreInDoubt(host: string, called: ReadonlySet<string>): boolean {
    const now = performance.now();
    return [...this.#databases.values()].some(
      (watch) => watch.record.leader.host === host && !called.has(watch.database) && watch.isMissed(now),
    );
  }

  async #rounds(signal: AbortSignal): Promise<void> {
    const stopped = (): boolean => signal.aborted;
    let due = performance.now();
    while (!stopped()) {
      const everyMs = this.#downAfterMs / 4;
      due += everyMs;
      const now = performance.now();
      // A process that was held up itself has proved nothing about others.
      if (now - due > 2 * everyMs) {
        due = now + everyMs;
        for (const watch of this.#databases.values()) watch.forgiveSilence(now);
      }
      for (const watch of this.#databases.values()) watch.ask(now);
      for (const lease of this.#leases.values()) lease.tick(now, this.#lastLedAt(lease.host));
      this.wake();
      await sleep(Math.max(1, due - performance.now()), undefined, { signal }).catch(() => undefined);
    }
  }

  #lastLedAt(host: string): number | null {
    let last: number | null = null;
    for (const { record, lastLedAt } of this.#databases.values()) {
      if (record.leader.host === host && lastLedAt !== null) last = Math.max(last ?? 0, lastLedAt);
    }
    return last;
  }

  /** The fleet, the records or the maintenance changed. */
  #follow(): void {
    const { surroundings, server } = this.dependencies;
    if (this.#stopped) return;
    if (!surroundings.known) {
      this.wake();
      return;
    }
    const downAfter = surroundings.fleet?.detection.downAfter ?? DEFAULT_DETECTION.downAfter;
    if (downAfter !== this.#downAfterMs) {
      this.#downAfterMs = downAfter;
      for (const database of this.#databases.keys()) this.#forget(database);
    }
    const hosts = new Set(
      surroundings.fleet?.servers.find(({ name }) => name === server)?.hosts.map(({ name }) => name) ?? [],
    );
    const records = surroundings.records.filter(({ epoch, leader }) => epoch > 0 && hosts.has(leader.host));
    const names = new Set(records.map(({ database }) => database));
    for (const database of this.#databases.keys()) {
      // What cannot be read now is watched as it was.
      if (!names.has(database) && !surroundings.unreadable.has(database)) this.#forget(database);
    }
    for (const record of records) this.#watchDatabase(record);
    this.#watchLeases();
    this.wake();
  }

  #watchDatabase(record: DatabaseRecord): void {
    const { database, epoch } = record;
    const known = this.#databases.get(database);
    if (known !== undefined) {
      if (known.update(record)) this.promotions.forget(database, { served: false });
      return;
    }
    const { credentials, knownRunIds, lend } = this.dependencies;
    const watch = new DatabaseWatch(record, {
      credentials,
      downAfterMs: this.#downAfterMs,
      runId: knownRunIds.get(`${database} ${String(epoch)}`) ?? null,
      lend,
      onSeen: () => this.wake(),
    });
    this.#databases.set(database, watch);
    watch.askAtOnce();
  }

  #forget(database: string): void {
    this.#databases.get(database)?.close();
    this.#databases.delete(database);
    this.promotions.forget(database, { served: false });
  }

  #watchLeases(): void {
    const wanted = new Set(
      [...this.#databases.values()].flatMap(({ record: { leader, follower } }) =>
        follower === null ? [leader.host] : [leader.host, follower.host],
      ),
    );
    for (const [host, lease] of this.#leases) {
      if (wanted.has(host)) continue;
      lease.close();
      this.#leases.delete(host);
    }
    for (const host of wanted) {
      if (this.#leases.has(host)) continue;
      const { leases } = this.dependencies;
      const lease = new LeaseObserver({ host, leases, onChange: () => this.#leaseChanged(host) });
      this.#leases.set(host, lease);
      lease.start();
    }
  }

  /** An agent that sees a process die says it within milliseconds: look at that process now. */
  #leaseChanged(host: string): void {
    const now = performance.now();
    const lease = this.#leases.get(host)?.fresh(now);
    for (const watch of this.#databases.values()) {
      const { leader, follower } = watch.record;
      const pulse =
        leader.host === host
          ? lease?.processes[watch.database]?.pulse
          : follower?.host === host
            ? lease?.leaders[watch.database]
            : undefined;
      watch.heard(host, pulse ?? null);
    }
    this.wake();
  }

  #judge(now: number): void {
    let changed = false;
    for (const watch of this.#databases.values()) changed = this.#judgeOne(watch, now) || changed;
    this.dependencies.telling.tell(now, changed, () => this.#view(now));
  }

  /** @returns whether it is judged otherwise than before */
  #judgeOne(watch: DatabaseWatch, now: number): boolean {
    const { record, database, decision: before } = watch;
    const stateBefore = watch.verdict.state;
    const own = this.#leases.get(record.leader.host);
    const followers = record.follower === null ? undefined : this.#leases.get(record.follower.host);
    // Asked only when something is amiss.
    const ownerLives =
      watch.verdict.state === 'well' ? null : this.dependencies.owners.lives(record.operation, now);
    const verdict = watch.judge(now, own, followers, ownerLives);
    if (verdict.state === 'well') this.promotions.forget(database, { served: true });
    const { sightings } = watch;
    watch.decision = decide({
      record,
      verdict,
      sightings,
      policy: this.#policy(database),
      maintenance: this.#maintenance(record),
      consulProblem: this.dependencies.surroundings.problem ?? own?.problem ?? null,
      ownerLives,
      attempt: this.promotions.attempt(database, now),
    });
    const { decision } = watch;
    if (decision.act === 'promote') {
      const call = { record, ask: decision.ask, why: decision.why };
      this.promotions.call({ ...call, fingerprint: fingerprint(record, verdict, sightings) });
    } else if (decision.act === 'break lease' && own !== undefined) {
      void this.#breakLease(own, decision.why);
    }
    return stateBefore !== verdict.state || before.act !== decision.act || before.why !== decision.why;
  }

  async #breakLease(lease: LeaseObserver, why: string): Promise<void> {
    if (this.#breaking.has(lease.host)) return;
    this.#breaking.add(lease.host);
    const { log, workflowId } = this.dependencies;
    try {
      const taken = await lease.break(workflowId, why);
      log.warn(
        taken
          ? `The lease of ${lease.host} was waited out and is broken: ${why}`
          : `The lease of ${lease.host} was renewed at the last moment.`,
      );
    } catch (error) {
      log.warn(`The lease of ${lease.host} could not be broken: ${messageOf(error)}`);
    } finally {
      this.#breaking.delete(lease.host);
    }
    this.wake();
  }

  #policy(database: string): WatchedDatabase['policy'] {
    const fleet: Fleet | null = this.dependencies.surroundings.fleet;
    const own = fleet?.databases.find(({ name }) => name === database)?.policy;
    return own ?? fleet?.detection.policy ?? 'off';
  }

  #maintenance(record: DatabaseRecord): WatchedDatabase['maintenance'] {
    return maintenanceOf(record, this.dependencies.surroundings.maintenance, Date.now());
  }

  /** @param now of the monotonic clock */
  #view(now: number): WatchView {
    const { server, workflowId, worker, surroundings } = this.dependencies;
    const watches = [...this.#databases.values()].map((watch): WatchedDatabase => {
      const { record, database } = watch;
      const lease = this.#leases.get(record.leader.host)?.fresh(now);
      return {
        ...watch.view(),
        fenced: lease?.processes[database]?.fenced ?? null,
        policy: this.#policy(database),
        maintenance: this.#maintenance(record),
        attempt: this.promotions.attempt(database, now),
      };
    });
    const problems = [surroundings.problem, ...[...this.#leases.values()].map(({ problem }) => problem)];
    return {
      server,
      workflowId,
      worker,
      at: new Date().toISOString(),
      downAfter: this.#downAfterMs,
      problems: [
        ...new Set([...problems.filter((one) => one !== null), ...surroundings.unreadable.values()]),
      ],
      databases: watches.toSorted((a, b) => (a.database < b.database ? -1 : 1)),
    };
  }
}
