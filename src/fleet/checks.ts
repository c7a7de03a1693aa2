/** `redis-fleet check`: the invariants that can be seen from outside now. Pure: observations in, findings out. */

import { drillProblems } from './drills.js';
import type { DrillRecord } from './drills.js';
import type { DatabaseStatus, StatusInput, StatusView } from './statusView.js';
import { forecastsOf, statusView } from './statusView.js';
import { memoryAlarms } from './memoryAlarm.js';
import { watchProblems } from './statusWatch.js';
import { freshnessOf, overdueText } from './freshness.js';
import { isFresh } from './reportAge.js';
import type { Endpoint } from './record.js';
import { showEndpoint } from './record.js';
import type { PlacedProcess } from './placement.js';

/** What was seen of the gates of one process. */
export interface GateReading {
  readonly database: string;
  readonly endpoint: Endpoint;
  /** Open settings, by Redis's names; empty: both gates are shut. null: could not be read. */
  readonly open: readonly string[] | null;
  /** Why it could not be read. */
  readonly problem: string | null;
}

export interface CheckInput extends StatusInput {
  /** A sentence where nobody looked at the gates. */
  readonly gates: readonly GateReading[] | { readonly unknown: string };
  /** What the last drill of each database found. */
  readonly drills: readonly DrillRecord[];
}

export interface Finding {
  /** A `warning` does not make the fleet unwell: it cannot be told from here whether it was meant. */
  readonly severity: 'failure' | 'warning';
  readonly check:
    | 'record'
    | 'processes'
    | 'gates'
    | 'forks'
    | 'reports'
    | 'runbooks'
    | 'watches'
    | 'backups'
    | 'drills'
    | 'memory';
  /** null: about the fleet. */
  readonly subject: string | null;
  /** One sentence. */
  readonly text: string;
}

/** Failures first. */
export function checkFleet(input: CheckInput): Finding[] {
  const view = statusView(input);
  const findings = [
    ...reportFindings(view),
    ...view.databases.flatMap((database) => databaseFindings(database)),
    ...strangers(input),
    ...gateFindings(input),
    ...runbookFindings(input, view),
    ...watchFindings(input),
    ...drillFindings(input),
    ...backupFindings(input, view),
    ...memoryFindings(input),
  ];
  return findings.toSorted((a, b) => rank(a) - rank(b));
}

function reportFindings(view: StatusView): Finding[] {
  return view.servers
    .flatMap(({ hosts }) => hosts)
    .filter(({ report }) => report !== 'fresh')
    .map(({ host, report, reportAge }): Finding => {
      const since =
        report === 'none' ? 'has never reported' : `has not reported for ${String(reportAge ?? 0)} s`;
      const text = `The agent of host ${host} ${since}: nothing can be said about its processes.`;
      return { severity: 'failure', check: 'reports', subject: host, text };
    });
}

function databaseFindings(database: DatabaseStatus): Finding[] {
  const { database: subject, leader } = database;
  const findings = database.problems.map((text): Finding => ({
    severity: 'failure',
    check: 'record',
    subject,
    text,
  }));
  if (leader !== null && leader.role === 'leader' && (leader.totalForks ?? 0) > 0) {
    const forks = leader.totalForks === 1 ? 'once' : `${String(leader.totalForks)} times`;
    const text =
      `The leader of ${subject} on host ${leader.host} has forked ${forks} since it started; nobody can tell from ` +
      `here whether a runbook with the fork permit did it (it also counts what the process did as a follower).`;
    findings.push({ severity: 'warning', check: 'forks', subject, text });
  }
  return findings;
}

/** Processes that run and that no record knows: they hold memory, and applications must not find them. */
function strangers({ fleet, records, reports, now }: CheckInput): Finding[] {
  const known: Pick<PlacedProcess, 'database' | 'host'>[] = records.flatMap((record) =>
    [record.leader, record.follower, ...(record.extraFollowers ?? [])].flatMap((endpoint) =>
      endpoint === null ? [] : [{ database: record.database, host: endpoint.host }],
    ),
  );
  const hosts = new Set(fleet.servers.flatMap((server) => server.hosts.map((host) => host.name)));
  return reports
    .filter((report) => hosts.has(report.host) && isFresh(report, now))
    .flatMap((report) =>
      report.processes
        .filter(({ state }) => state === 'running')
        .filter(({ database }) => !known.some((one) => one.database === database && one.host === report.host))
        .filter(
          ({ database }) => records.find((record) => record.database === database)?.operation === undefined,
        )
        .map(({ database, endpoint }): Finding => {
          const text = `A process of ${database} runs on ${showEndpoint(endpoint)}, and no record knows it.`;
          return { severity: 'failure', check: 'processes', subject: database, text };
        }),
    );
}

function gateFindings({ gates, records }: CheckInput): Finding[] {
  if ('unknown' in gates)
    return [{ severity: 'warning', check: 'gates', subject: null, text: gates.unknown }];
  return gates.flatMap(({ database, endpoint, open, problem }): Finding[] => {
    const subject = database;
    if (open === null) {
      const text = `The gates of ${database} on ${showEndpoint(endpoint)} could not be looked at: ${problem ?? ''}`;
      return [{ severity: 'warning', check: 'gates', subject, text }];
    }
    if (open.length === 0) return [];
    const owner = records.find((record) => record.database === database)?.operation;
    const by = owner === undefined ? 'no runbook owns the database' : `${owner.workflowId} owns the database`;
    const text =
      `A gate of ${database} on ${showEndpoint(endpoint)} is open (${open.join(', ')}), and ${by}: ` +
      `a follower that asks for a full synchronisation makes it fork.`;
    return [{ severity: owner === undefined ? 'failure' : 'warning', check: 'gates', subject, text }];
  });
}

function runbookFindings({ runbooks }: CheckInput, view: StatusView): Finding[] {
  if ('unknown' in runbooks) {
    return [{ severity: 'failure', check: 'runbooks', subject: null, text: runbooks.unknown }];
  }
  return view.runbooks
    .filter(({ status }) => status === 'stuck')
    .map(({ workflowId }): Finding => {
      const text = `Runbook ${workflowId} is stuck; see: redis-fleet runbook show ${workflowId}`;
      return { severity: 'failure', check: 'runbooks', subject: workflowId, text };
    });
}

function watchFindings(input: CheckInput): Finding[] {
  return watchProblems(input).map((text): Finding => ({
    severity: 'failure',
    check: 'watches',
    subject: null,
    text,
  }));
}

function drillFindings({ fleet, records, drills, now }: CheckInput): Finding[] {
  return drillProblems(fleet, records, drills, now).map(({ database, text }): Finding => ({
    severity: 'failure',
    check: 'drills',
    subject: database,
    text,
  }));
}

/** Where the file pauses backups, nobody is alarmed, and everybody is told. */
function backupFindings({ fleet, backups, now }: CheckInput, view: StatusView): Finding[] {
  const settings = fleet.backups;
  const overdue = view.databases
    .filter(({ epoch }) => (epoch ?? 0) > 0)
    .map(({ database }) => {
      const at = backups.find((backup) => backup.database === database)?.at ?? null;
      return freshnessOf(database, at, settings, now);
    })
    .filter((fresh) => fresh.overdue);
  if (!settings.paused) {
    return overdue.map((fresh): Finding => {
      const text = overdueText(fresh, settings);
      return { severity: 'failure', check: 'backups', subject: fresh.database, text };
    });
  }
  const text =
    `Backups are paused (backups.paused in the fleet file), and ${String(overdue.length)} of ` +
    `${String(view.databases.length)} databases have none that is younger than their deadline.`;
  return [{ severity: 'warning', check: 'backups', subject: null, text }];
}

function memoryFindings(input: CheckInput): Finding[] {
  return memoryAlarms(forecastsOf(input), input.fleet.relocation).map(({ host, text }): Finding => ({
    severity: 'failure',
    check: 'memory',
    subject: host,
    text,
  }));
}

function rank({ severity }: Finding): number {
  return severity === 'failure' ? 0 : 1;
}
