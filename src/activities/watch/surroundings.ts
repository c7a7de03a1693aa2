/** What every watch of a worker has to know of the fleet, followed once for all of them. */

import type { FleetConsul } from '../../connections/consul.js';
import type { FleetError } from '../../fleet/errors.js';
import type { Fleet } from '../../fleet/fleet.js';
import type { Maintenance } from '../../fleet/maintenance.js';
import { consulKeys } from '../../fleet/names.js';
import type { DatabaseRecord } from '../../fleet/record.js';
import type { RecordStore } from '../../records/databases.js';
import type { FleetStore } from '../../records/fleet.js';
import { watchKey } from '../../records/kv.js';
import type { MaintenanceStore } from '../../records/maintenance.js';
import { steadily } from './steadily.js';

export interface SurroundingsDependencies {
  readonly fleetName: string;
  readonly consul: FleetConsul;
  readonly fleet: FleetStore;
  readonly records: RecordStore;
  readonly maintenance: MaintenanceStore;
}

type Source = 'fleet' | 'records' | 'maintenance';

export class Surroundings {
  /** null: not read yet, or none was applied. */
  fleet: Fleet | null = null;
  records: readonly DatabaseRecord[] = [];
  /** Databases whose record cannot be read, with a sentence. */
  unreadable: ReadonlyMap<string, string> = new Map();
  maintenance: readonly Maintenance[] = [];
  readonly #problems = new Map<Source, string>();
  readonly #known = new Set<Source>();
  readonly #listeners = new Set<() => void>();
  #ending: AbortController | null = null;

  constructor(private readonly dependencies: SurroundingsDependencies) {}

  /** All of it was read once. */
  get known(): boolean {
    return this.#known.size === 3;
  }

  /** A sentence while Consul does not say how things are. */
  get problem(): string | null {
    return [...this.#problems.values()][0] ?? null;
  }

  /** Follows as long as somebody listens. Returns how to stop. */
  listen(onChange: () => void): () => void {
    this.#listeners.add(onChange);
    if (this.#ending === null) this.#start();
    return () => {
      this.#listeners.delete(onChange);
      if (this.#listeners.size > 0) return;
      this.#ending?.abort();
      this.#ending = null;
      this.#known.clear();
      this.#problems.clear();
    };
  }

  #start(): void {
    const { fleetName, consul, fleet, records, maintenance } = this.dependencies;
    this.#ending = new AbortController();
    const { signal } = this.#ending;
    this.#follow('records', signal, (seen, inner, onProblem) =>
      records.watch(
        (list) => {
          this.records = list.records.map(({ record }) => record);
          this.unreadable = new Map(list.invalid.map(({ database, problem }) => [database, problem.message]));
          seen();
        },
        inner,
        onProblem,
      ),
    );
    this.#follow('maintenance', signal, (seen, inner, onProblem) =>
      maintenance.watch(
        (all) => {
          this.maintenance = all;
          seen();
        },
        inner,
        onProblem,
      ),
    );
    this.#follow('fleet', signal, (seen, inner, onProblem) =>
      watchKey(
        consul,
        consulKeys(fleetName).fleet,
        {
          onProblem,
          onChange: async () => {
            this.fleet = (await fleet.read())?.fleet ?? null;
            seen();
          },
        },
        inner,
      ),
    );
  }

  #follow(
    source: Source,
    signal: AbortSignal,
    watch: (seen: () => void, inner: AbortSignal, onProblem: (problem: FleetError) => void) => Promise<void>,
  ): void {
    const seen = (): void => {
      if (signal.aborted) return;
      this.#known.add(source);
      this.#problems.delete(source);
      this.#tell();
    };
    const trouble = (problem: FleetError): void => {
      this.#problems.set(source, problem.message);
      this.#tell();
    };
    void steadily((inner, onProblem) => watch(seen, inner, onProblem), trouble, signal);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
