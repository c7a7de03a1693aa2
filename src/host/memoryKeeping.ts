/** Remembers how the memory of a host went, from one report to the next, and publishes it now and then. */

import { availableParallelism } from 'node:os';
import type { HostReport } from '../fleet/facts.js';
import { emptyHistory, remember } from '../fleet/memoryHistory.js';
import type { MemoryHistory } from '../fleet/relocation/state.js';
import type { MemoryStore } from '../records/memory.js';

const PUBLISH_EVERY_MS = 10_000;

export interface MemoryKeeping {
  /** After every report. @throws FleetError Unreachable: what was seen is kept, and published later */
  note(report: HostReport): Promise<void>;
}

export function memoryKeeping(host: string, store: MemoryStore): MemoryKeeping {
  let before: HostReport | null = null;
  /** null: what an agent before this one remembered was not read yet. */
  let earlier: MemoryHistory | null = null;
  let history = emptyHistory(host);
  let publishedAt = -Infinity;

  /** What was seen before it could be read is newer. */
  function joined(old: MemoryHistory): MemoryHistory {
    const from = history.samples[0]?.at ?? Infinity;
    return {
      ...history,
      samples: [...old.samples.filter(({ at }) => at < from), ...history.samples],
      forks: [...old.forks, ...history.forks],
    };
  }

  return {
    async note(report) {
      const limitedBy = report.kernel?.limitedBy ?? 'machine';
      history = remember(history, report, before, { limitedBy, cores: availableParallelism() });
      before = report;
      const now = performance.now();
      if (now - publishedAt < PUBLISH_EVERY_MS) return;
      if (earlier === null) {
        earlier = (await store.read(host)) ?? emptyHistory(host);
        history = joined(earlier);
      }
      publishedAt = now;
      await store.publish(history);
    },
  };
}
