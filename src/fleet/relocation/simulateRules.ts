/** Rules that a plan keeps whatever the memory: where databases may go, and what may happen at the same time. */

import { listUnder } from './listUnder.js';
import { moveSeconds, pauseSecondsOf, processLimit } from './moveCost.js';
import { hostsOfDatabase } from './outlook.js';
import type { PlannedMove, PlannerOptions } from './plan.js';
import { sameEndpoint } from '../record.js';
import type { DatabaseState, HostState, RelocationState } from './state.js';

export interface Violation {
  /** A sentence. */
  readonly what: string;
  /** Seconds from the moment of planning. */
  readonly at: number;
  readonly host: string | null;
  readonly database: string | null;
}

/** Rounding is no violation. Seconds. */
const TOLERANCE = 1e-3;

export function rulesBroken(
  state: RelocationState,
  moves: readonly PlannedMove[],
  options: PlannerOptions,
): Violation[] {
  const hosts = new Map(state.hosts.map((host) => [host.name, host]));
  const databases = new Map(state.databases.map((database) => [database.name, database]));
  const found: Violation[] = [];
  for (const move of moves) {
    const broken = (what: string): void => {
      found.push({ what, at: move.start, host: null, database: move.database });
    };
    const database = databases.get(move.database);
    if (database === undefined) broken(`${move.database} is no database.`);
    else fromRules(move, database, options).forEach(broken);
    toRules(move, hosts, database).forEach(broken);
  }
  return [...found, ...togetherRules(moves, options), ...roomRules(state, moves, options)];
}

function fromRules(move: PlannedMove, database: DatabaseState, options: PlannerOptions): string[] {
  const { name, busy, leader, follower } = database;
  const found: string[] = [];
  if (busy !== null) found.push(`${name} is not free to move: ${busy}.`);
  if (!sameEndpoint(move.from.leader, leader)) found.push(`${name} is not led from where the plan says.`);
  if (follower === null || !sameEndpoint(move.from.follower, follower)) {
    found.push(`${name} has no follower where the plan takes the copy from.`);
  }
  const needed = moveSeconds(database, move.start, options);
  if (!(move.end - move.start >= needed - TOLERANCE))
    found.push(`${name} cannot be moved in so short a time.`);
  const { pauseSeconds } = move;
  if (pauseSeconds !== undefined && pauseSeconds > options.pauseWrites)
    found.push(`Writes to ${name} would wait for longer than they may.`);
  if (pauseSeconds !== undefined && pauseSeconds < pauseSecondsOf(database, options))
    found.push(`${name} cannot be copied while writes wait for so short a time.`);
  if (move.start < 0) found.push(`${name} would move in the past.`);
  return found;
}

function toRules(
  { database: name, to }: PlannedMove,
  hosts: ReadonlyMap<string, HostState>,
  database: DatabaseState | undefined,
): string[] {
  const found: string[] = [];
  const targets = [to.leader, to.follower].map((endpoint) => ({ endpoint, host: hosts.get(endpoint.host) }));
  for (const { endpoint, host } of targets) {
    if (host === undefined) {
      found.push(`${name} would move to host ${endpoint.host}, of which nothing is known.`);
      continue;
    }
    if (host.closed !== null) found.push(`${name} would move to host ${host.name}: ${host.closed}.`);
    if (host.address !== endpoint.address) found.push(`${name} would move to a wrong address.`);
    if (host.takenPorts.includes(endpoint.port)) {
      found.push(`${name} would move to port ${String(endpoint.port)} of host ${host.name}, which is taken.`);
    }
    if (database !== undefined && hostsOfDatabase(database).includes(host.name)) {
      found.push(`${name} would move to host ${host.name}, where it is.`);
    }
  }
  const [a, b] = targets;
  if (a?.host !== undefined && a.host.zone === b?.host?.zone) {
    found.push(`${name} would have both its processes in zone ${a.host.zone}.`);
  }
  return found;
}

/** A host has one fork permit, and one line to the others. */
function togetherRules(moves: readonly PlannedMove[], options: PlannerOptions): Violation[] {
  const all = [...options.underWay, ...moves];
  const found: Violation[] = [];
  const broken = (what: string, { start, database }: PlannedMove, host: string | null = null): void => {
    found.push({ what, at: start, host, database });
  };
  const byHost = new Map<string, PlannedMove[]>();
  for (const move of all) {
    for (const host of occupiedHosts(move)) listUnder(byHost, host, move);
  }
  for (const [host, there] of byHost) {
    const sorted = there.toSorted((a, b) => a.start - b.start);
    sorted.forEach((move, index) => {
      const before = sorted[index - 1];
      if (before !== undefined && before.end > move.start + TOLERANCE && !options.underWay.includes(move)) {
        broken(
          `Host ${host} would take part in the moves of ${before.database} and ${move.database} at once.`,
          move,
          host,
        );
      }
    });
  }
  for (const move of moves) {
    const together = all.filter(({ start, end }) => start <= move.start && end > move.start + TOLERANCE);
    if (together.length > Math.max(options.atOnce, options.underWay.length)) {
      broken(`More than ${String(options.atOnce)} databases would move at once.`, move);
    }
  }
  const names = all.map(({ database }) => database);
  moves.forEach((move, index) => {
    if (names.indexOf(move.database) < index + options.underWay.length) {
      broken(`${move.database} would move twice.`, move);
    }
  });
  return found;
}

/** Hosts that a move keeps busy: the one that forks, and both that receive. */
export function occupiedHosts({ from, to }: Pick<PlannedMove, 'from' | 'to'>): string[] {
  return [from.follower.host, to.leader.host, to.follower.host];
}

/** Ports and cores. What leaves is not counted out: it may be there until the very end. */
function roomRules(
  state: RelocationState,
  moves: readonly PlannedMove[],
  options: PlannerOptions,
): Violation[] {
  const found: Violation[] = [];
  const arriving = new Map<string, PlannedMove['to']['leader'][]>();
  for (const { to } of [...options.underWay, ...moves]) {
    for (const endpoint of [to.leader, to.follower]) listUnder(arriving, endpoint.host, endpoint);
  }
  const broken = (what: string, host: string): void => {
    found.push({ what, at: 0, host, database: null });
  };
  const counts = new Map<string, number>();
  for (const database of state.databases) {
    for (const host of hostsOfDatabase(database)) counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  for (const { name, cores } of state.hosts) {
    const here = arriving.get(name);
    if (here === undefined) continue;
    const ports = here.map(({ port }) => port);
    if (new Set(ports).size < ports.length) broken(`Two databases would get one port on host ${name}.`, name);
    if (ports.some((port) => port < options.lowestPort))
      broken(`A port on host ${name} would be too low.`, name);
    if ((counts.get(name) ?? 0) + here.length > processLimit(cores, options)) {
      broken(`Host ${name} would run more processes than its cores are for.`, name);
    }
  }
  return found;
}
