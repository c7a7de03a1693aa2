/** What an agent remembers of its host's memory: dense now, thinner with age, and never more than fits one value in Consul. Pure. */

import type { HostProcess, HostReport, ProcessFacts } from './facts.js';
import { FORKS_KEPT } from './relocation/forks.js';
import type { ForkSample, MemoryHistory, MemorySample, ProcessSample } from './relocation/state.js';

const DAY_MS = 86_400_000;
const LONGEST_MS = 2 * DAY_MS;
/** Two samples that are so old stand apart by at least a share of that age, and by no less than this. */
const LEAST_GAP_MS = 4_000;
const GAP_SHARE = 1 / 6;
/** As much of a run id as tells two lives of a process apart. */
const RUN_LENGTH = 8;

type Observed = HostProcess & { readonly facts: ProcessFacts | null };

export function emptyHistory(host: string): MemoryHistory {
  return { host, limitedBy: 'machine', cores: 1, samples: [], forks: [] };
}

/** @param before the report before this one, by the same agent; null: there was none */
export function remember(
  history: MemoryHistory,
  report: HostReport,
  before: HostReport | null,
  machine: Pick<MemoryHistory, 'limitedBy' | 'cores'>,
): MemoryHistory {
  const sample = sampleOf(report);
  const { at } = sample;
  // A clock that was set back: what it said before means nothing now.
  const known = history.samples.filter((one) => one.at < at);
  const forks = [...history.forks, ...forksSince(report, before)].filter((one) => one.at > at - LONGEST_MS);
  return { ...history, ...machine, samples: thinned([...known, sample], at), forks: lastOfEach(forks) };
}

/** @param samples oldest first; the newest is kept always */
export function thinned(samples: readonly MemorySample[], now: number): readonly MemorySample[] {
  const kept: MemorySample[] = [];
  // From the oldest on: what is kept once stays until it is too old, and others do not drift past it.
  for (const [index, sample] of samples.entries()) {
    const age = now - sample.at;
    if (age > LONGEST_MS) continue;
    const last = kept.at(-1);
    const isNewest = index === samples.length - 1;
    if (isNewest || last === undefined || sample.at - last.at >= gapAt(age)) kept.push(sample);
  }
  return kept;
}

function gapAt(age: number): number {
  return Math.max(LEAST_GAP_MS, age * GAP_SHARE);
}

function sampleOf({ at, memory, processes }: HostReport): MemorySample {
  return {
    at: Date.parse(at),
    memory: { total: memory.total, available: memory.available },
    processes: processes.flatMap((process) => processSample(process)),
  };
}

function processSample({ database, endpoint, residentMemory, facts }: Observed): ProcessSample[] {
  if (facts === null) return [];
  return [
    {
      database,
      port: endpoint.port,
      role: facts.role,
      run: facts.runId.slice(0, RUN_LENGTH),
      usedMemory: facts.usedMemory,
      residentMemory: residentMemory ?? facts.residentMemory,
      maxmemory: facts.maxmemory,
      offset: facts.position.offset,
    },
  ];
}

/** Children that ended between two reports; one that was called off, or failed, says nothing. */
function forksSince(report: HostReport, before: HostReport | null): ForkSample[] {
  const at = Date.parse(report.at);
  return report.processes.flatMap(({ database, endpoint, facts }) => {
    const earlier = before?.processes.find(
      (one) => one.database === database && one.endpoint.port === endpoint.port,
    )?.facts;
    if (facts === null || earlier == null || earlier.runId !== facts.runId) return [];
    const hasForked = facts.totalForks > earlier.totalForks || earlier.saving;
    if (!hasForked || facts.saving || facts.lastSave?.ok !== true) return [];
    const seconds = (at - Date.parse(before?.at ?? report.at)) / 1_000;
    const written = Math.max(0, facts.position.offset - earlier.position.offset);
    return [
      {
        database,
        port: endpoint.port,
        at,
        seconds: facts.lastSave.seconds,
        copyOnWrite: facts.lastCowBytes,
        usedMemory: facts.usedMemory,
        writeRate: seconds > 0 ? written / seconds : 0,
      },
    ];
  });
}

function lastOfEach(forks: readonly ForkSample[]): readonly ForkSample[] {
  return forks.filter(
    (fork, index) =>
      forks.slice(index + 1).filter(({ database }) => database === fork.database).length < FORKS_KEPT,
  );
}
