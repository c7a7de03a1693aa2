/** What would help where no plan does: each is tried out, and offered only if it does help. Pure. */

import { reserveOf } from '../headroom.js';
import { drain } from './drain.js';
import { availableAt, largestFork, outlooks, usedAt } from './outlook.js';
import type { HostOutlook } from './outlook.js';
import type { PlannedMove, PlannerOptions, Remedy } from './plan.js';
import { relieve } from './relieve.js';
import type { HostState, RelocationState } from './state.js';
import { worldOf } from './world.js';

export type Failing = { readonly relieve: readonly string[] } | { readonly drain: string };

export function remediesFor(state: RelocationState, failing: Failing, options: PlannerOptions): Remedy[] {
  return [
    ...pausedWrites(state, failing, options),
    ...newServer(state, failing, options),
    ...('relieve' in failing ? lowerMaxmemory(state, failing.relieve, options) : []),
  ];
}

/** null: it does not come about even so. */
function wholePlan(
  state: RelocationState,
  failing: Failing,
  options: PlannerOptions,
): readonly PlannedMove[] | null {
  if ('drain' in failing) {
    const world = worldOf(state, options, options.horizon, new Set([failing.drain]));
    const { moves, stays } = drain(world, failing.drain);
    return stays.length === 0 ? moves : null;
  }
  const world = worldOf(state, options, options.horizon, new Set(failing.relieve));
  const { moves, unsafe } = relieve(world, failing.relieve, options.horizon);
  return unsafe.length === 0 ? moves : null;
}

function pausedWrites(state: RelocationState, failing: Failing, options: PlannerOptions): Remedy[] {
  const moves = wholePlan(state, failing, { ...options, pauseWrites: Number.POSITIVE_INFINITY }) ?? [];
  const databases = moves.flatMap(({ database, pauseSeconds }) =>
    pauseSeconds === undefined ? [] : [{ database, seconds: pauseSeconds }],
  );
  // What is allowed already was of no use.
  const helps = databases.some(({ seconds }) => seconds > options.pauseWrites);
  return helps ? [{ kind: 'pause writes', databases }] : [];
}

const NEW_SERVER = 'a new server';
const VAST = 2 ** 50;
const STEP = 256 * 1024 ** 2;

function newServer(state: RelocationState, failing: Failing, options: PlannerOptions): Remedy[] {
  const hosts: HostState[] = ['a', 'b'].map((letter) => ({
    name: `${NEW_SERVER}, host ${letter}`,
    zone: `${NEW_SERVER}, zone ${letter}`,
    address: `${NEW_SERVER}, address ${letter}`,
    server: NEW_SERVER,
    closed: null,
    memory: { total: VAST, available: VAST, limitedBy: 'machine' },
    cores: VAST,
    takenPorts: [],
    otherGrowth: { low: 0, expected: 0, high: 0 },
  }));
  const larger = { ...state, hosts: [...state.hosts, ...hosts] };
  const moves = wholePlan(larger, failing, options);
  const coming = new Set(
    moves?.flatMap(({ database, to }) => (to.server === NEW_SERVER ? [database] : [])) ?? [],
  );
  if (coming.size === 0) return [];
  let bytes = 0;
  let fork = 0;
  for (const resident of outlooks(state).values()) {
    for (const { database, forkShare } of resident.residents) {
      if (!coming.delete(database.name)) continue;
      const used = Math.max(database.residentMemory, usedAt(database, options.horizon, 'high'));
      bytes += used;
      fork = Math.max(fork, forkShare * used);
    }
  }
  const share = 1 - reserveOf({ total: 1 });
  return [{ kind: 'new server', memory: Math.ceil((bytes + fork) / share / STEP) * STEP }];
}

const MiB = 1024 ** 2;

/** So much growth is allowed that the hosts stay safe without any move, in proportion to how each grows. */
function lowerMaxmemory(
  state: RelocationState,
  failing: readonly string[],
  options: PlannerOptions,
): Remedy[] {
  const all = outlooks(state);
  const limits = new Map<string, number>();
  for (const name of failing) {
    const outlook = all.get(name);
    const allowed = outlook === undefined ? null : allowedShare(outlook, options.horizon);
    // Nothing that grows less helps where a fork does not fit already.
    if (outlook === undefined || allowed === null) return [];
    for (const { database } of outlook.residents) {
      const growth = usedAt(database, options.horizon, 'high') - database.usedMemory;
      if (growth <= 0) continue;
      const limit = Math.floor((database.usedMemory + allowed * growth) / MiB) * MiB;
      limits.set(database.name, Math.min(limits.get(database.name) ?? limit, limit));
    }
  }
  const databases = [...limits]
    .filter(
      ([database, limit]) =>
        limit >= (state.databases.find(({ name }) => name === database)?.usedMemory ?? 0),
    )
    .map(([database, maxmemory]) => ({ database, maxmemory }));
  return databases.length === 0 || databases.length < limits.size
    ? []
    : [{ kind: 'lower maxmemory', databases }];
}

/** The largest share of the growth to come with which the host stays safe; null: not even without growth. */
function allowedShare({ host, residents }: HostOutlook, horizon: number): number | null {
  const isSafe = (share: number): boolean => {
    const slowed = residents.map(({ database, forkShare }) => {
      const used = database.usedMemory + share * (usedAt(database, horizon, 'high') - database.usedMemory);
      const still = { ...database, usedMemory: used, growth: { low: 0, expected: 0, high: 0 } };
      return { database: still, forkShare };
    });
    const grown = slowed.reduce((sum, one, index) => {
      return sum + one.database.usedMemory - (residents[index]?.database.usedMemory ?? 0);
    }, 0);
    const available = availableAt({ host, residents: [] }, horizon, 'high') - grown;
    return available - reserveOf(host.memory) >= (largestFork(slowed, 0, 'high')?.bytes ?? 0);
  };
  if (!isSafe(0)) return null;
  let [good, bad] = [0, 1];
  for (let n = 0; n < 20; n += 1) {
    const middle = (good + bad) / 2;
    if (isSafe(middle)) good = middle;
    else bad = middle;
  }
  return good;
}
