/** The cases of this benchmark: each sets up both systems, measures them in turn, and says which bars that is about. */

import { atMost, spreadOf } from '../../testbed/report.js';
import { loadData } from '../../testbed/load.js';
import { zonesPossible } from '../../testbed/zones.js';
import type { BenchmarkRun } from '../runBenchmark.js';
import { hung, killed, partitioned, planned, reborn } from './cases.js';
import type { Findings } from './findings.js';
import { fiftySwitchovers } from './fifty.js';
import { killedTogether, restoreFollowers, type ManyObservation } from './many.js';
import type { Observation } from './observe.js';
import { startOurs } from './ours.js';
import { outages } from './outages.js';
import { startScript } from './script.js';
import type { Stage, System } from './stage.js';
import { startTheirs, theirs } from './theirs.js';

export const CASES = ['killed', 'reborn', 'planned', 'hung', 'partition', 'many', 'outages'] as const;
export type CaseName = (typeof CASES)[number];

/** Returns why it could not be measured; null: it was. */
export type Measure = (run: BenchmarkRun, findings: Findings) => Promise<string | null>;

const MEGABYTES = 200;
const LARGE = '512MiB';
const GROUPS = [1, 16, 64] as const;
const LEASE_TTL_MS = 1500;
/** An agent that is alone has fenced its leaders by this share of its lease. */
const FENCED_BY = 0.95;
const IN_FLIGHT = 64;
const REPLACED_WITHIN_S = 5;

export const measures: Readonly<Record<CaseName, Measure>> = {
  async killed(run, findings) {
    const seen = await inTurn(
      run,
      'killed',
      killed,
      await startOurs({ databases: run.repetitions, signal: run.signal }),
    );
    findings.compare('killed: outage', 's', seen, ({ outageMs }) => outageMs / 1000);
    findings.compare(
      'killed: acknowledged writes lost',
      'writes',
      seen,
      ({ lost, lostStaying }) => lost + lostStaying,
    );
    findings.ratio('killed: outage, of Sentinel’s', seen, ({ outageMs }) => outageMs, 0.25);
    findings.atMost(
      'killed: acknowledged writes lost, at most those in flight',
      seen,
      allLost,
      IN_FLIGHT,
      'writes',
    );
    return null;
  },

  async reborn(run, findings) {
    const seen = await inTurn(
      run,
      'reborn',
      reborn,
      await startOurs({ databases: run.repetitions, signal: run.signal }),
    );
    findings.compare('killed, and restarted empty: outage', 's', seen, ({ outageMs }) => outageMs / 1000);
    findings.compare('killed, and restarted empty: acknowledged writes lost', 'writes', seen, allLost);
    findings.atMost(
      'restarted empty: acknowledged writes lost, at most those in flight',
      seen,
      allLost,
      IN_FLIGHT,
      'writes',
    );
    return null;
  },

  async planned(run, findings) {
    const { signal, tell } = run;
    const ours = await startOurs({ databases: 2, maxmemory: LARGE, signal });
    const script = await startScript(512 * 1024 ** 2);
    try {
      const [small = '', large = ''] = ours.fleet.databases;
      const byScript = {
        name: 'script',
        stage: () => script.stage(),
        stop: () => Promise.resolve(),
      } as const satisfies System;
      const bySmall = { ...stagesOf(() => ours.stageOf(small)), name: 'ours' } as const;
      const seen = await repeated(run, 'planned', planned, [bySmall, theirs(), byScript]);
      findings.compare('planned: outage', 'ms', seen, ({ outageMs }) => outageMs);
      findings.compare(
        'planned: acknowledged writes lost, client that follows',
        'writes',
        seen,
        ({ lost }) => lost,
      );
      findings.compare(
        'planned: acknowledged writes lost, client that stays',
        'writes',
        seen,
        ({ lostStaying }) => lostStaying,
      );
      findings.ratio('planned: outage, of the bare script’s', seen, ({ outageMs }) => outageMs, 4, 'script');
      findings.atMost('planned: acknowledged writes lost', seen, allLost, 0, 'writes');

      tell(`loading ${MEGABYTES} MB`);
      await loadData({
        where: await ours.fleet.leader(large),
        megabytes: MEGABYTES,
        seed: 1,
        ...ours.fleet.application,
      });
      await loadData({ where: script.leader, megabytes: MEGABYTES, seed: 1, ...script.login });
      const byLarge = { ...stagesOf(() => ours.stageOf(large)), name: 'ours' } as const;
      const seenLarge = await repeated(run, `planned, ${MEGABYTES} MB`, planned, [byLarge, byScript]);
      findings.compare(`planned, ${MEGABYTES} MB: outage`, 'ms', seenLarge, ({ outageMs }) => outageMs);
      findings.ratio(
        `planned, ${MEGABYTES} MB: outage, of the bare script’s`,
        seenLarge,
        ({ outageMs }) => outageMs,
        4,
        'script',
      );
      findings.atMost(`planned, ${MEGABYTES} MB: acknowledged writes lost`, seenLarge, allLost, 0, 'writes');

      tell('50 switchovers, one after the other');
      const fifty = await fiftySwitchovers(await ours.stageOf(small), signal);
      tell(
        `50 switchovers: ${fifty.lost} of ${fifty.acknowledged} lost, outage ${spreadText(fifty.outagesMs)} ms`,
      );
      findings.add({
        ...atMost('50 switchovers under full load: acknowledged writes lost', fifty.lost, 0, 'writes'),
      });
      findings.count(fifty);
    } finally {
      await script.stop();
      await ours.stop();
    }
    return null;
  },

  async hung(run, findings) {
    const ours = await startOurs({ databases: run.repetitions, signal: run.signal });
    const staying = { name: 'ours', stage: () => ours.stage(), stop: () => Promise.resolve() } as const;
    const seen = await overlapped(run, 'hung', hung, () => Promise.resolve(staying), theirs()).finally(() =>
      ours.stop(),
    );
    findings.compare('hung for 15 s: outage', 's', seen, ({ outageMs }) => outageMs / 1000);
    findings.compare(
      'hung for 15 s: acknowledged by the old leader afterwards',
      'writes',
      seen,
      ({ stale }) => stale,
    );
    findings.compare('hung for 15 s: acknowledged writes lost', 'writes', seen, allLost);
    findings.ratio('hung: outage, of Sentinel’s', seen, ({ outageMs }) => outageMs, 0.7);
    findings.atMost(
      'hung: acknowledged by the old leader afterwards',
      seen,
      ({ stale }) => stale,
      0,
      'writes',
    );
    findings.atMost('hung: lost that way', seen, ({ lostStaying }) => lostStaying, 0, 'writes');
    return null;
  },

  async partition(run, findings) {
    const why = zonesPossible();
    if (why !== null) return why;
    // Another fleet for each: hosts that were cut off have to find everything again first.
    const ours = () =>
      startOurs({ databases: 1, zones: true, leaseTtl: `${LEASE_TTL_MS}ms`, signal: run.signal });
    const seen = await overlapped(run, 'partition', partitioned, ours, theirs({ zones: true }));
    findings.compare('zone cut off for 20 s: outage outside', 's', seen, ({ outageMs }) => outageMs / 1000);
    findings.compare(
      'zone cut off for 20 s: acknowledged inside until',
      's after the cut',
      seen,
      insideUntil,
    );
    findings.compare(
      'zone cut off for 20 s: acknowledged by the old leader after the change',
      'writes',
      seen,
      ({ stale }) => stale,
    );
    findings.compare(
      'zone cut off for 20 s: acknowledged writes lost, client inside',
      'writes',
      seen,
      ({ lostStaying }) => lostStaying,
    );
    findings.ratio('zone cut off: outage outside, of Sentinel’s', seen, ({ outageMs }) => outageMs, 1);
    findings.atMost(
      'zone cut off: acknowledged by the old leader after the change',
      seen,
      ({ stale }) => stale,
      0,
      'writes',
    );
    findings.atMost(
      'zone cut off: the client inside is acknowledged writes for at most',
      seen,
      insideUntil,
      (LEASE_TTL_MS * FENCED_BY) / 1000,
      's after the cut',
    );
    return null;
  },

  async many(run, findings) {
    const { signal, tell } = run;
    const byGroup = new Map<number, ManyObservation[]>(GROUPS.map((size) => [size, []]));
    const beside = new Map<number, ManyObservation[]>(GROUPS.map((size) => [size, []]));
    const ours = await startOurs({ databases: GROUPS.reduce((sum, size) => sum + size, 0), signal });
    try {
      for (let repetition = 1; repetition <= run.repetitions; repetition++) {
        for (const [index, size] of GROUPS.entries()) {
          signal.throwIfAborted();
          const first = GROUPS.slice(0, index).reduce((sum, one) => sum + one, 0);
          const databases = ours.fleet.databases.slice(first, first + size);
          const before = await Promise.all(databases.map((database) => ours.fleet.record(database)));
          const stages = await Promise.all(ours.fleet.databases.map((database) => ours.stageOf(database)));
          const one = await killedTogether(stages, stages.slice(first, first + size));
          byGroup.get(size)?.push(one);
          tell(`${repetition}/${run.repetitions} ${size} at once, ours: ${manyText(one)}`);
          await restoreFollowers(
            ours,
            before.map(({ database, leader }) => ({ database, process: leader })),
          );
        }
      }
    } finally {
      await ours.stop();
    }
    const most = Math.max(...GROUPS);
    const names = Array.from({ length: most }, (_, index) => `sessions-${String(index).padStart(2, '0')}`);
    for (let repetition = 1; repetition <= run.repetitions; repetition++) {
      for (const size of GROUPS) {
        signal.throwIfAborted();
        const stages = await startTheirs({ databases: names });
        try {
          const one = await killedTogether(stages, stages.slice(0, size));
          beside.get(size)?.push(one);
          tell(`${repetition}/${run.repetitions} ${size} at once, Sentinel: ${manyText(one)}`);
        } finally {
          await stages[0]?.end();
        }
      }
    }
    findings.many(byGroup, beside, [
      { size: 16, atMost: 1.5 },
      { size: 64, atMost: 3 },
    ]);
    return null;
  },

  async outages(run, findings) {
    for (const one of await outages(run.signal, run.tell)) {
      const name = `a minute without ${one.away === 'consul' ? 'Consul' : 'Temporal'}`;
      run.tell(`${name}: ${one.acknowledged} acknowledged, longest gap ${one.longestGapMs.toFixed(0)} ms`);
      findings.add(atMost(`${name}: failed writes`, one.failed, 0, 'writes'));
      findings.add(atMost(`${name}: changes of leader`, one.demotions, 0, 'leaders'));
      if (one.replacedAfterMs !== null) {
        findings.add(
          atMost(
            `${name}: a leader killed meanwhile is replaced, after Temporal answers again`,
            one.replacedAfterMs / 1000,
            REPLACED_WITHIN_S,
            's',
          ),
        );
      }
      findings.count(one);
    }
    return null;
  },
};

/** Ours and Sentinel's, one after the other, and the same again. Ends ours. */
async function inTurn(
  run: BenchmarkRun,
  name: string,
  happens: (stage: Stage) => Promise<Observation>,
  ours: System,
): Promise<readonly Observation[]> {
  try {
    return await repeated(run, name, happens, [ours, theirs()]);
  } finally {
    await ours.stop();
  }
}

/** The same for what takes long: Sentinel's turn begins when clients of ours have moved, and only time passes there. */
async function overlapped(
  { repetitions, tell, signal }: BenchmarkRun,
  name: string,
  happens: (stage: Stage, onMoved: () => void) => Promise<Observation>,
  ours: (repetition: number) => Promise<System>,
  beside: System,
): Promise<readonly Observation[]> {
  const seen: Observation[] = [];
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    signal.throwIfAborted();
    const measured = async (system: System, onMoved: () => void): Promise<void> => {
      const stage = await system.stage();
      try {
        const one = await happens(stage, onMoved);
        seen.push(one);
        tell(`${name} ${repetition}/${repetitions}, ${system.name}: ${observationText(one)}`);
      } finally {
        await stage.end();
      }
    };
    const system = await ours(repetition);
    try {
      let first: Promise<void> = Promise.resolve();
      const moved = new Promise<void>((resolve) => {
        first = measured(system, resolve);
      });
      await Promise.race([moved, first]);
      const results = await Promise.allSettled([first, measured(beside, () => undefined)]);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    } finally {
      await system.stop();
    }
  }
  return seen;
}

async function repeated(
  { repetitions, tell, signal }: BenchmarkRun,
  name: string,
  happens: (stage: Stage) => Promise<Observation>,
  systems: readonly System[],
): Promise<readonly Observation[]> {
  const seen: Observation[] = [];
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const system of systems) {
      signal.throwIfAborted();
      const stage = await system.stage();
      try {
        const one = await happens(stage);
        seen.push(one);
        tell(`${name} ${repetition}/${repetitions}, ${system.name}: ${observationText(one)}`);
      } finally {
        await stage.end();
      }
    }
  }
  return seen;
}

function stagesOf(stage: () => Promise<Stage>): Pick<System, 'stage' | 'stop'> {
  return { stage, stop: () => Promise.resolve() };
}

function allLost({ lost, lostStaying }: Observation): number {
  return lost + lostStaying;
}

function insideUntil({ stayedUntilMs }: Observation): number {
  return stayedUntilMs / 1000;
}

function observationText({ outageMs, lost, lostStaying, stale, phases }: Observation): string {
  const steps = Object.entries(phases).map(([what, ms]) => `${what} ${ms.toFixed(0)}`);
  return `outage ${outageMs.toFixed(0)} ms, lost ${lost} + ${lostStaying}, stale ${stale} (${steps.join(', ')} ms)`;
}

function manyText({ first, median, last, lost }: ManyObservation): string {
  return `first ${first.toFixed(0)}, median ${median.toFixed(0)}, last ${last.toFixed(0)} ms, lost ${lost}`;
}

function spreadText(figures: readonly number[]): string {
  const { min, median, max } = spreadOf(figures);
  return `${min.toFixed(1)} / ${median.toFixed(1)} / ${max.toFixed(1)}`;
}
