/**
 * Plays a plan through, host by host and moment by moment, and says what would go wrong. It knows the plan's moves and
 * their times, and nothing of how they were found. Growth is at the high end of its spread throughout.
 */

import { reserveOf } from '../headroom.js';
import {
  arrivingBytes,
  freedBytes,
  heldBytes,
  LAST_RESORT_SHARE,
  moveForkNeeds,
  moveForkReserve,
} from './moveCost.js';
import { availableAt, marginAt, outlooks, residentOf, usedAt } from './outlook.js';
import type { HostOutlook, Resident } from './outlook.js';
import type { CoursePoint, HostCourse, PlannedMove, PlannerOptions } from './plan.js';
import { rulesBroken } from './simulateRules.js';
import type { Violation } from './simulateRules.js';
import type { RelocationState } from './state.js';

/** What a plan says of itself. */
export interface Promised {
  /** Hosts that are safe as soon as the moves have ended, and until then. Seconds. */
  readonly safe: readonly string[];
  readonly safeUntil: number;
  /** Every other host that is safe until then if nothing moves, or that something moves to, is safe all the time. */
  readonly until: number;
}

export interface Simulation {
  /** Empty: the plan is proven. */
  readonly violations: readonly Violation[];
  /** Of every host that is touched or promised. */
  readonly course: readonly HostCourse[];
}

export function simulate(
  state: RelocationState,
  moves: readonly PlannedMove[],
  promised: Promised,
  options: PlannerOptions,
): Simulation {
  const violations: Violation[] = [...rulesBroken(state, moves, options)];
  const ledgers = openLedgers(state, [...options.underWay, ...moves], promised);
  const ended = Math.max(0, ...[...options.underWay, ...moves].map(({ end }) => end));
  const course = [...ledgers.values()].map((ledger): HostCourse => {
    const points: CoursePoint[] = [];
    for (const moment of moments(ledger, ended, promised)) {
      const point = look(ledger, moment);
      points.push(point);
      violations.push(...judge(ledger, moment, point, { promised, ended, options }));
    }
    return { host: ledger.outlook.host.name, points };
  });
  return { violations, course };
}

/** Everything that is on a host at some time. */
interface Ledger {
  readonly outlook: HostOutlook;
  /** Databases that leave, by when the old process is gone. */
  readonly leaving: Map<string, number>;
  readonly arriving: { readonly resident: Resident; readonly from: number }[];
  /** Moves that this host gives something for: the copy, or the stream of writes. */
  readonly giving: { readonly resident: Resident; readonly move: PlannedMove; readonly forks: boolean }[];
}

function openLedgers(
  state: RelocationState,
  moves: readonly PlannedMove[],
  { safe }: Promised,
): Map<string, Ledger> {
  const all = outlooks(state);
  const databases = new Map(state.databases.map((database) => [database.name, database]));
  const ledgers = new Map<string, Ledger>();
  const ledgerOf = (host: string): Ledger | null => {
    const known = ledgers.get(host);
    if (known !== undefined) return known;
    const outlook = all.get(host);
    if (outlook === undefined) return null;
    const ledger: Ledger = { outlook, leaving: new Map(), arriving: [], giving: [] };
    ledgers.set(host, ledger);
    return ledger;
  };
  for (const host of safe) ledgerOf(host);
  for (const move of moves) {
    const database = databases.get(move.database);
    if (database === undefined) continue;
    const resident = residentOf(database);
    const targets = [move.to.leader.host, move.to.follower.host];
    for (const { host } of [move.from.leader, move.from.follower]) {
      if (!targets.includes(host)) ledgerOf(host)?.leaving.set(database.name, move.end);
    }
    for (const host of targets) ledgerOf(host)?.arriving.push({ resident, from: move.start });
    ledgerOf(move.from.follower.host)?.giving.push({ resident, move, forks: true });
    ledgerOf(move.from.leader.host)?.giving.push({ resident, move, forks: false });
  }
  return ledgers;
}

/** Just before what happens then, or just after. Between two moments everything only gets less. */
interface Moment {
  readonly at: number;
  readonly after: boolean;
}

function moments(
  { leaving, arriving, giving }: Ledger,
  ended: number,
  { until, safeUntil }: Promised,
): Moment[] {
  const times = new Set([0, ended, Math.max(ended, until), Math.max(ended, safeUntil), ...leaving.values()]);
  for (const { from } of arriving) times.add(from);
  for (const { move } of giving) times.add(move.start).add(move.end);
  return [...times]
    .sort((a, b) => a - b)
    .flatMap((at) => [
      { at, after: false },
      { at, after: true },
    ]);
}

function has(began: number, { at, after }: Moment): boolean {
  return began < at || (began === at && after);
}

function look(ledger: Ledger, moment: Moment): CoursePoint {
  const { outlook, leaving, arriving, giving } = ledger;
  const { at } = moment;
  const without = availableAt(outlook, at, 'high');
  let available = without;
  let forkNeeds = 0;
  const stays = ({ database, forkShare }: Resident): void => {
    forkNeeds = Math.max(forkNeeds, forkShare * usedAt(database, at, 'high'));
  };
  for (const resident of outlook.residents) {
    const gone = leaving.get(resident.database.name);
    if (gone !== undefined && has(gone, moment)) available += freedBytes(resident.database, at);
    else stays(resident);
  }
  for (const { resident, from } of arriving) {
    if (!has(from, moment)) continue;
    available -= arrivingBytes(resident.database, at);
    stays(resident);
  }
  for (const { resident, move } of giving) {
    if (isActive(move, moment)) available -= heldBytes(resident.database, move.end - move.start);
  }
  return { at, available, forkNeeds, without };
}

function isActive({ start, end }: PlannedMove, moment: Moment): boolean {
  return has(start, moment) && !has(end, moment);
}

interface Judged {
  readonly promised: Promised;
  readonly ended: number;
  readonly options: PlannerOptions;
}

/** Rounding is no violation. Bytes. */
const TOLERANCE = 1_024;

function judge(
  ledger: Ledger,
  moment: Moment,
  { available, forkNeeds, without }: CoursePoint,
  { promised, ended, options }: Judged,
): Violation[] {
  const { host } = ledger.outlook;
  const { at } = moment;
  const found: Violation[] = [];
  const say = (what: string, database: string | null = null): void => {
    found.push({ what, at, host: host.name, database });
  };
  const isPromised = promised.safe.includes(host.name);
  const least = host.memory.total * LAST_RESORT_SHARE;
  // A host that is lost already may be left alone, and may not be made worse.
  const isWorse = available < without - TOLERANCE;
  if (available < least - TOLERANCE && (isPromised || isWorse)) say(`The memory of host ${host.name} ends.`);

  const reserve = reserveOf(host.memory);
  const margin = available - reserve - forkNeeds;
  const receives = ledger.arriving.length > 0;
  const isOver = at > ended || (at === ended && moment.after);
  const mustBeSafe = isPromised
    ? isOver && at <= Math.max(ended, promised.safeUntil)
    : receives || marginAt(ledger.outlook, Math.max(ended, promised.until), 'high') >= TOLERANCE;
  if (margin < -TOLERANCE && mustBeSafe) {
    say(`A fork of the largest database on host ${host.name} does not fit.`);
  }
  for (const { resident, move, forks } of ledger.giving) {
    if (!forks || !isActive(move, moment) || options.underWay.includes(move)) continue;
    const needs = moveForkNeeds(resident, move, at);
    if (available - moveForkReserve(host.memory, move) - needs < -TOLERANCE) {
      say(`The fork that moves ${move.database} does not fit on host ${host.name}.`, move.database);
    }
  }
  return found;
}
