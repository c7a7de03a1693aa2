/** Every acknowledgement of a client: which write, when, and by whom; and what stands out in a window of time. */

import type { Acknowledged, Window } from './trafficContract.js';

export interface WindowFigures {
  readonly acknowledged: number;
  /** The longest time without an acknowledgement that ends in the window, or reaches to its end. */
  readonly gap: { readonly from: number; readonly to: number };
  /** By who acknowledged. */
  readonly by: Readonly<Record<string, Acknowledged>>;
}

export class Acknowledgements {
  readonly #servers: string[] = [];
  /** One entry for each, in the order of their arrival. */
  readonly #sequences = new Column();
  readonly #times = new Column();
  readonly #by = new Column();

  get count(): number {
    return this.#sequences.length;
  }

  add(sequence: number, time: number, server: string): void {
    const known = this.#servers.indexOf(server);
    this.#sequences.push(sequence);
    this.#times.push(time);
    this.#by.push(known >= 0 ? known : this.#servers.push(server) - 1);
  }

  in({ from, to }: Required<Window>): WindowFigures {
    const by: Record<string, { count: number; last: number }> = {};
    let acknowledged = 0;
    // A gap may have begun before the window: whoever waits does not care when somebody began to look.
    let previous = from;
    let gap = { from, to: from };
    for (let index = 0; index < this.count; index++) {
      const time = this.#times.at(index);
      if (time > to) break;
      if (time >= from) {
        if (time - previous > gap.to - gap.from) gap = { from: previous, to: time };
        acknowledged++;
        const server = (by[this.#serverOf(index)] ??= { count: 0, last: time });
        server.count++;
        server.last = time;
      }
      previous = time;
    }
    if (to - previous > gap.to - gap.from) gap = { from: previous, to };
    return { acknowledged, gap, by };
  }

  /** The acknowledged writes that are not where they should be, by who acknowledged them. */
  missing(isThere: (sequence: number) => boolean): Readonly<Record<string, number>> {
    const missing: Record<string, number> = {};
    for (let index = 0; index < this.count; index++) {
      if (isThere(this.#sequences.at(index))) continue;
      const server = this.#serverOf(index);
      missing[server] = (missing[server] ?? 0) + 1;
    }
    return missing;
  }

  #serverOf(index: number): string {
    return this.#servers[this.#by.at(index)] ?? '';
  }
}

/** Numbers, many. */
class Column {
  length = 0;
  #values = new Float64Array(1 << 12);

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(this.#values.length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index] ?? NaN;
  }
}
