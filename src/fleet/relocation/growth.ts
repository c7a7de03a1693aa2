/** How fast something grows, from samples of it: robust against outliers, and honest about how sure that is. Pure. */

import type { Spread } from './state.js';

export interface Point {
  /** Milliseconds. */
  readonly at: number;
  readonly value: number;
}

/** More points than these are thinned: the cost grows with their square. */
const MOST_POINTS = 20;
/** The last of them say how it grows now; all of them how that varies. */
const RECENT_POINTS = 8;
const FEWEST_POINTS = 3;
/** Outside of these quantiles of the slopes lies what is rare. */
const LOW = 0.1;
const HIGH = 0.9;
/** A load that ended: so much came at once, at so many times the pace of the intervals since. */
const LOAD_BYTES = 16 * 1024 ** 2;
const LOAD_FACTOR = 4;
const CALM_INTERVALS = 3;
/** Over so long a time a load is growth like any other: others will come. Seconds. */
const LONG = 600;

/**
 * Theil and Sen's slope: the median of the slopes between all pairs of points, each with the weight of its length of
 * time. A second, ten percent and ninety percent quantile are the spread; few points widen it. A series is one life of
 * one thing: between a process and its restarted successor nothing has grown. A load that has ended does not count, but
 * for what it adds over ten minutes and more.
 * @returns a second; null: too few points to say
 */
export function growthOf(series: readonly (readonly Point[])[]): Spread | null {
  const life = series.reduce<readonly Point[]>(
    (last, points) => ((points.at(-1)?.at ?? 0) > (last.at(-1)?.at ?? 0) ? points : last),
    [],
  );
  const newest = sinceLoad(life);
  const all = slopesOf(
    series.map((points) => thinned(points)),
    newest.length < life.length ? LONG : 0,
  );
  if (newest.length < life.length) all.push(...slopesOf([thinned(newest)]));
  all.sort((a, b) => a.slope - b.slope);
  const counted = newest.length < life.length ? [newest] : series;
  const count = counted.reduce((sum, points) => sum + (points.length > 1 ? points.length : 0), 0);
  if (count < FEWEST_POINTS || all.length === 0) return null;
  const recent = newest.length < FEWEST_POINTS ? all : slopesOf([newest.slice(-RECENT_POINTS)]);
  const expected = quantile(recent, 0.5);
  const unsure = Math.abs(expected) / count;
  return {
    low: Math.min(expected - unsure, quantile(recent, LOW), quantile(all, LOW)),
    expected,
    high: Math.max(expected + unsure, quantile(recent, HIGH), quantile(all, HIGH)),
  };
}

interface Slope {
  readonly slope: number;
  readonly weight: number;
}

/** What came after the last load; all of it, where there was none, or where it is too early to say that it has ended. */
function sinceLoad(points: readonly Point[]): readonly Point[] {
  let fastest = 0;
  for (let index = points.length - 1, calm = 0; index > 0; index -= 1, calm += 1) {
    const [early, late] = [points[index - 1], points[index]];
    if (early === undefined || late === undefined || late.at <= early.at) continue;
    const grown = late.value - early.value;
    const slope = (grown * 1_000) / (late.at - early.at);
    const isLoad = grown > LOAD_BYTES && slope > LOAD_FACTOR * fastest;
    if (isLoad && calm >= CALM_INTERVALS) return points.slice(index);
    fastest = Math.max(fastest, slope);
  }
  return points;
}

/** In ascending order. @param shortest span of a pair, in seconds */
function slopesOf(series: readonly (readonly Point[])[], shortest = 0): Slope[] {
  const slopes: Slope[] = [];
  for (const points of series) {
    points.forEach((late, index) => {
      for (let before = 0; before < index; before += 1) {
        const early = points[before];
        const seconds = early === undefined ? 0 : (late.at - early.at) / 1_000;
        if (early === undefined || seconds <= 0 || seconds < shortest) continue;
        slopes.push({ slope: (late.value - early.value) / seconds, weight: seconds });
      }
    });
  }
  return slopes.sort((a, b) => a.slope - b.slope);
}

function quantile(sorted: readonly Slope[], share: number): number {
  const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
  let passed = 0;
  for (const { slope, weight } of sorted) {
    passed += weight;
    if (passed >= total * share) return slope;
  }
  return sorted.at(-1)?.slope ?? 0;
}

/** All of the newest, and evenly many of the older ones. */
function thinned(points: readonly Point[]): readonly Point[] {
  if (points.length <= MOST_POINTS) return points;
  const recent = points.slice(-RECENT_POINTS);
  const older = points.slice(0, -RECENT_POINTS);
  const wanted = MOST_POINTS - RECENT_POINTS;
  const step = older.length / wanted;
  return [
    ...Array.from({ length: wanted }, (_, n) => older[Math.floor(n * step)]).filter(
      (one) => one !== undefined,
    ),
    ...recent,
  ];
}
