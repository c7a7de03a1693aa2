/**
 * Plans relocations: which databases go where, in which order, and how many at once, so that hosts are safe with the
 * least bytes moved. Pure. What comes out is proven by a simulation that knows nothing of how it was found.
 */

import { showDuration } from '../quantities.js';
import { drain } from './drain.js';
import { forecastHost } from './forecast.js';
import type { HostForecast } from './forecast.js';
import { outlooks } from './outlook.js';
import { DEFAULT_OPTIONS } from './plan.js';
import type { Goal, Moves, PlannedMove, PlannerOptions, RelocationPlan } from './plan.js';
import { projected } from './projected.js';
import { rebalance } from './rebalance.js';
import { easeOff, MANY_HOSTS, needOf, relieve } from './relieve.js';
import type { Relieved } from './relieve.js';
import { remediesFor } from './remedies.js';
import { simulate } from './simulate.js';
import type { RelocationState } from './state.js';
import { worldOf } from './world.js';
import type { World } from './world.js';

export function planRelocation(
  state: RelocationState,
  goal: Goal,
  changes: Partial<PlannerOptions> = {},
): RelocationPlan {
  const options = { ...DEFAULT_OPTIONS, ...changes };
  const without = planWith(state, goal, { ...options, pauseWrites: 0 });
  if (options.pauseWrites === 0 || without.kind !== 'impossible') return without;
  const pausing = planWith(state, goal, options);
  return pausing.kind !== 'impossible' || reach(pausing, goal) > reach(without, goal)
    ? pausing
    : { ...without, would: pausing.would };
}

/** How far what can be done goes where no plan reaches the goal: how much leaves, or for how long it is safe. */
function reach({ bestEffort }: Extract<RelocationPlan, { kind: 'impossible' }>, goal: Goal): number {
  if (bestEffort === null) return -1;
  if (goal.kind === 'drain') return bestEffort.bytes;
  return bestEffort.safeUntil ?? Number.POSITIVE_INFINITY;
}

function planWith(state: RelocationState, goal: Goal, options: PlannerOptions): RelocationPlan {
  switch (goal.kind) {
    case 'relieve':
      return planRelief(state, goal.hosts ?? null, options);
    case 'drain':
      return planDrain(state, goal.host, options);
    case 'rebalance':
      return planRebalance(state, goal.tolerance, options);
  }
}

/** Something found in a world, whose end is not before the last move has ended. */
interface Attempt<T> {
  readonly found: T;
  readonly until: number;
}

const MOST_ATTEMPTS = 4;

/** A host must be safe while the moves last, and they may last longer than the horizon: then the world ends later. */
function attempt<T extends { readonly moves: readonly PlannedMove[] }>(
  horizon: number,
  inWorld: (until: number) => T,
): Attempt<T> {
  let until = horizon;
  let found = inWorld(until);
  for (let n = 1; n < MOST_ATTEMPTS && endOf(found.moves) > until; n += 1) {
    until = endOf(found.moves) * 1.1;
    found = inWorld(until);
  }
  return { found, until };
}

export function endOf(moves: readonly PlannedMove[]): number {
  return moves.reduce((last, { end }) => Math.max(last, end), 0);
}

/** Hosts of which these shall be safe, and are not. */
export function needyHosts(
  state: RelocationState,
  wanted: readonly string[] | null,
  options: PlannerOptions,
): string[] {
  const world = worldOf(state, options, options.horizon, new Set());
  return unsafeIn(world, wanted ?? [...world.hosts.keys()]);
}

function unsafeIn(world: World, hosts: readonly string[]): string[] {
  return hosts.filter((host) => {
    const { free, fork } = needOf(world, host, world.until);
    return world.hosts.has(host) && free < fork;
  });
}

/** What relief is found for these hosts, so that they are safe for `horizon`. */
export function findRelief(
  state: RelocationState,
  needy: readonly string[],
  options: PlannerOptions,
  horizon = options.horizon,
): Attempt<Relieved> {
  return attempt(horizon, (until) => {
    const end = Math.max(until, options.horizon);
    return relieve(worldOf(state, options, end, new Set(needy)), needy, until);
  });
}

function planRelief(
  state: RelocationState,
  wanted: readonly string[] | null,
  options: PlannerOptions,
): RelocationPlan {
  const missing = (wanted ?? []).filter((host) => !state.hosts.some(({ name }) => name === host));
  const needy = needyHosts(state, wanted, options);
  if (missing.length > 0) return unknownHosts(missing);
  if (needy.length === 0) return { kind: 'safe already', before: forecasts(state, wanted ?? []) };
  const { found, until } = findRelief(state, needy, options);
  if (found.unsafe.length === 0) {
    const claim = { about: needy, safe: needy, safeUntil: until, until };
    const proof = prove(state, found.moves, claim, options);
    if ('moves' in proof) return { kind: 'plan', ...proof };
    return impossible(state, needy, { why: proof.why, bestEffort: null, options });
  }
  const failing = found.unsafe.map(({ host }) => host);
  const why = [...new Set(found.unsafe.map((one) => one.why))];
  const shorter = shorterRelief(state, needy, options) ?? whatCanBeDone(state, needy, failing, options);
  const goesSoFar =
    shorter === null || shorter.safeUntil === null || shorter.safeUntil <= 0
      ? []
      : [
          `What can be done makes them safe for ${showDuration(shorter.safeUntil * 1_000)}, not for ${showDuration(options.horizon * 1_000)}.`,
        ];
  return impossible(state, failing, { why: [...why, ...goesSoFar], bestEffort: shorter, options });
}

const LEAST_HORIZON = 15;

/** Safe for less long is better than not at all: it leaves time for a new server. */
function shorterRelief(
  state: RelocationState,
  needy: readonly string[],
  options: PlannerOptions,
): Moves | null {
  if (needy.length > MANY_HOSTS) return null;
  for (let horizon = options.horizon / 2; horizon >= LEAST_HORIZON; horizon /= 4) {
    const { found, until } = findRelief(state, needy, options, horizon);
    if (found.unsafe.length > 0 || found.moves.length === 0) continue;
    const claim = { about: needy, safe: needy, safeUntil: until, until: Math.max(until, options.horizon) };
    const proof = prove(state, found.moves, claim, options);
    if ('moves' in proof) return proof;
  }
  return null;
}

function whatCanBeDone(
  state: RelocationState,
  needy: readonly string[],
  failing: readonly string[],
  options: PlannerOptions,
): Moves | null {
  const { found, until } = attempt(options.horizon, (end) => {
    const world = worldOf(state, options, end, new Set(needy));
    const { moves } = relieve(world, needy, end);
    return { moves: [...moves, ...easeOff(world, failing)] };
  });
  if (found.moves.length === 0) return null;
  const proof = prove(state, found.moves, { about: needy, safe: [], safeUntil: 0, until }, options);
  return 'moves' in proof ? proof : null;
}

function planDrain(state: RelocationState, host: string, options: PlannerOptions): RelocationPlan {
  if (!state.hosts.some(({ name }) => name === host)) return unknownHosts([host]);
  const { found, until } = attempt(options.horizon, (end) =>
    drain(worldOf(state, options, end, new Set([host])), host),
  );
  const about = [host];
  const proof = prove(state, found.moves, { about, safe: [], safeUntil: 0, until }, options);
  const why = [...('why' in proof ? proof.why : []), ...found.stays.map((one) => one.why)];
  if (why.length > 0) {
    const bestEffort = 'moves' in proof && proof.moves.length > 0 ? proof : null;
    return impossible(state, about, { why, bestEffort, options, drained: host });
  }
  if (found.moves.length === 0 || !('moves' in proof)) {
    return { kind: 'safe already', before: forecasts(state, about) };
  }
  return { kind: 'plan', ...proof };
}

function planRebalance(
  state: RelocationState,
  tolerance: number | undefined,
  options: PlannerOptions,
): RelocationPlan {
  const { found, until } = attempt(options.horizon, (end) =>
    rebalance(worldOf(state, options, end, new Set()), tolerance),
  );
  const proof = prove(state, found.moves, { about: [], safe: [], safeUntil: 0, until }, options);
  if (!('moves' in proof)) return impossible(state, [], { why: proof.why, bestEffort: null, options });
  if (proof.moves.length > 0) return { kind: 'plan', ...proof };
  if (found.isEven) return { kind: 'safe already', before: [] };
  const share = (found.before * 100).toFixed(0);
  return {
    kind: 'impossible',
    why: [`A server is ${share} % of its memory away from the mean, and no single move makes that better.`],
    bestEffort: null,
    would: [],
    before: [],
  };
}

interface Claim {
  /** Hosts to show. */
  readonly about: readonly string[];
  readonly safe: readonly string[];
  readonly safeUntil: number;
  readonly until: number;
}

function prove(
  state: RelocationState,
  moves: readonly PlannedMove[],
  { about, ...promised }: Claim,
  options: PlannerOptions,
): Moves | { readonly why: readonly string[] } {
  const { violations, course } = simulate(state, moves, promised, options);
  if (violations.length > 0) {
    return { why: [...new Set(violations.map(({ what }) => `${UNPROVEN} ${what}`))] };
  }
  const shown = new Set(about);
  for (const { from, to } of moves) {
    for (const { host } of [from.leader, from.follower, to.leader, to.follower]) shown.add(host);
  }
  const after = forecasts(projected(state, [...options.underWay, ...moves]), [...shown]);
  const ends = after.flatMap(({ host, forkEnds }) => (about.includes(host) ? [forkEnds.low] : []));
  const known = ends.filter((end) => end !== null);
  return {
    moves: moves.toSorted((a, b) => a.start - b.start),
    bytes: moves.reduce((sum, { bytes }) => sum + bytes, 0),
    seconds: endOf(moves),
    safeUntil: known.length === 0 ? null : Math.min(...known),
    before: forecasts(state, [...shown]),
    after,
    course,
  };
}

/** Never seen: the planner and the simulation disagree. Then nothing is moved. */
export const UNPROVEN = 'The plan that was found does not hold when it is played through:';

function impossible(
  state: RelocationState,
  failing: readonly string[],
  {
    why,
    bestEffort,
    options,
    drained,
  }: {
    readonly why: readonly string[];
    readonly bestEffort: Moves | null;
    readonly options: PlannerOptions;
    readonly drained?: string;
  },
): RelocationPlan {
  return {
    kind: 'impossible',
    why,
    bestEffort,
    would: remediesFor(state, drained === undefined ? { relieve: failing } : { drain: drained }, options),
    before: forecasts(state, failing),
  };
}

function unknownHosts(hosts: readonly string[]): RelocationPlan {
  const names = hosts.join(', ');
  return {
    kind: 'impossible',
    why: [`Nothing is known of ${names}: no agent has reported from there, or the fleet has no such host.`],
    bestEffort: null,
    would: [],
    before: [],
  };
}

function forecasts(state: RelocationState, hosts: readonly string[]): HostForecast[] {
  const all = outlooks(state);
  return hosts.flatMap((host) => {
    const outlook = all.get(host);
    return outlook === undefined ? [] : [forecastHost(outlook)];
  });
}
