/** What Redis holds on each host of a fleet (resident memory), several times a second. */

import { residentMemory } from '../host/procfs.js';
import type { TestFleet } from '../testbed/fleet.js';
import type { MemoryPoint } from './memoryChart.js';

const SAMPLE_MS = 250;

export interface MemorySample extends MemoryPoint {
  /** Of the largest process there. */
  readonly largest: number;
}

/** From its making on, until it is stopped. */
export class MemorySamples {
  readonly #began = performance.now();
  readonly #points = new Map<string, MemorySample[]>();
  readonly #timer = setInterval(() => this.#take(), SAMPLE_MS);

  constructor(readonly fleet: TestFleet) {}

  /** Since the beginning. */
  get seconds(): number {
    return (performance.now() - this.#began) / 1_000;
  }

  of(host: string): readonly MemorySample[] {
    return this.#points.get(host) ?? [];
  }

  /** Bytes in use on a host now. */
  latest(host: string): number {
    this.#take();
    return this.of(host).at(-1)?.used ?? 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #take(): void {
    for (const { name } of this.fleet.dev.fleet.servers.flatMap(({ hosts }) => hosts)) {
      const held = this.fleet.databases.map((database) => {
        const pid = this.fleet.pidOf(database, name);
        return pid === null ? 0 : (residentMemory(pid) ?? 0);
      });
      const point = {
        seconds: this.seconds,
        used: held.reduce((sum, bytes) => sum + bytes, 0),
        largest: Math.max(...held),
      };
      this.#points.set(name, [...this.of(name), point]);
    }
  }
}
