/** What was measured: the bars that it must not miss, and the comparisons of the systems. */

import { atMost, spreadOf, type Bar, type Comparison } from '../../testbed/report.js';
import type { ManyObservation } from './many.js';
import type { Observation } from './observe.js';
import type { SystemName } from './stage.js';

type Figure = (observation: Observation) => number;

export class Findings {
  readonly #bars: Bar[] = [];
  readonly #comparisons: Comparison[] = [];
  #acknowledged = 0;
  #lost = 0;

  add(bar: Bar): void {
    this.#bars.push(bar);
  }

  /** Of ours, for the totals. */
  count({ acknowledged, lost }: { readonly acknowledged: number; readonly lost: number }): void {
    this.#acknowledged += acknowledged;
    this.#lost += lost;
  }

  /** The figure of every system that was measured. */
  compare(name: string, unit: string, seen: readonly Observation[], figure: Figure): void {
    const systems = [...new Set(seen.map(({ system }) => system))];
    const figures = Object.fromEntries(systems.map((system) => [system, spreadOf(of(seen, system, figure))]));
    this.#comparisons.push({ name, unit, figures });
  }

  /** The median of ours as a share of another system's is at most `bound`. */
  ratio(
    name: string,
    seen: readonly Observation[],
    figure: Figure,
    bound: number,
    other: SystemName = 'Sentinel',
  ): void {
    const theirs = spreadOf(of(seen, other, figure)).median;
    const spread = spreadOf(of(seen, 'ours', figure).map((one) => one / theirs));
    this.#bars.push({ ...atMost(name, spread.median, bound, 'times'), spread });
    for (const one of seen)
      if (one.system === 'ours') this.count({ acknowledged: one.acknowledged, lost: one.lost });
  }

  /** No measurement of ours is above `bound`. */
  atMost(name: string, seen: readonly Observation[], figure: Figure, bound: number, unit: string): void {
    const spread = spreadOf(of(seen, 'ours', figure));
    this.#bars.push({ ...atMost(name, spread.max, bound, unit), spread });
  }

  /** Of several databases at once: the last of them, in times of one alone. */
  many(
    ours: ReadonlyMap<number, readonly ManyObservation[]>,
    theirs: ReadonlyMap<number, readonly ManyObservation[]>,
    bounds: readonly { readonly size: number; readonly atMost: number }[],
  ): void {
    const seconds = (seen: readonly ManyObservation[] | undefined) =>
      (seen ?? []).map(({ last }) => last / 1000);
    for (const [size, seen] of ours) {
      this.#comparisons.push({
        name: `${size} killed at once: outage of the last`,
        unit: 's',
        figures: { ours: spreadOf(seconds(seen)), Sentinel: spreadOf(seconds(theirs.get(size))) },
      });
      for (const one of seen) this.count(one);
    }
    const one = spreadOf(seconds(ours.get(1))).median;
    for (const { size, atMost: bound } of bounds) {
      const spread = spreadOf(seconds(ours.get(size)).map((last) => last / one));
      this.#bars.push({
        ...atMost(`${size} killed at once: outage of the last, of one alone`, spread.median, bound, 'times'),
        spread,
      });
    }
  }

  bars(): readonly Bar[] {
    return this.#bars;
  }

  comparisons(): readonly Comparison[] {
    return this.#comparisons;
  }

  writes(): { readonly acknowledged: number; readonly lost: number } {
    return { acknowledged: this.#acknowledged, lost: this.#lost };
  }
}

function of(seen: readonly Observation[], system: SystemName, figure: Figure): number[] {
  return seen.filter((one) => one.system === system).map(figure);
}
