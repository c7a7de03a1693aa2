/** What an agent remembers of a leader's memory, and what is forecast of a host, to start a story from. */

import type { Forecast, HostForecast } from '../../src/fleet/relocation/forecast.js';
import type { MemoryHistory, ProcessSample } from '../../src/fleet/relocation/state.js';
import { MiB } from './facts.js';
import { NOW } from './fleetReports.js';

/** Of sessions-00; `process` by the number of the sample, oldest first. */
export function leaderHistory(
  host: string,
  process: (n: number) => Partial<ProcessSample>,
  { count = 10, everyMs = 5_000 }: { readonly count?: number; readonly everyMs?: number } = {},
): MemoryHistory {
  return {
    host,
    limitedBy: 'cgroup',
    cores: 12,
    samples: Array.from({ length: count }, (_, n) => ({
      at: NOW - (count - n) * everyMs,
      memory: { total: 1024 * MiB, available: 512 * MiB },
      processes: [
        {
          database: 'sessions-00',
          port: 6300,
          role: 'leader' as const,
          run: 'run-1',
          usedMemory: 100 * MiB,
          residentMemory: 100 * MiB,
          maxmemory: 256 * MiB,
          offset: 0,
          ...process(n),
        },
      ],
    })),
    forks: [],
  };
}

export function hostForecast(host: string, ends: { forkEnds: Forecast; memoryEnds: Forecast }): HostForecast {
  return {
    host,
    total: 4096 * MiB,
    available: 1000 * MiB,
    reserve: 200 * MiB,
    forks: [{ database: 'sessions-00', needs: 300 * MiB, left: 500 * MiB }],
    ...ends,
  };
}
