/**
 * Which databases would have to leave so that every one of some hosts is safe: the sets that cost least, cheapest first.
 * Pure. Whether a set can be moved anywhere, and in time, is decided elsewhere; so that there is something to fall back
 * to, sets that are larger than needed are among them.
 */

export interface CoverItem {
  /** Bytes to copy. */
  readonly cost: number;
  /** What each host gets back; 0 where it is not. */
  readonly frees: readonly number[];
  /** What a fork of it needs on each host while it stays there; 0 where it is not. */
  readonly forks: readonly number[];
}

export interface CoverNeed {
  /** What the host can give to a fork if nothing leaves; negative where it lacks memory altogether. */
  readonly free: number;
  /** The largest fork of what cannot leave. */
  readonly fork: number;
}

/** Indices of items. */
export type Cover = readonly number[];

export interface CoverLimits {
  /** How many sets. */
  readonly most: number;
  /** How many steps a search may take. */
  readonly steps: number;
}

/** So few that every set is looked at. */
const ALL_SETS_OF = 10;

export function cheapestCovers(
  items: readonly CoverItem[],
  needs: readonly CoverNeed[],
  limits: CoverLimits,
): Cover[] {
  const kept = keeper(limits.most);
  if (items.length <= ALL_SETS_OF) {
    for (let mask = 1; mask < 1 << items.length; mask += 1) {
      const cover = items.flatMap((_, index) => ((mask >> index) & 1 ? [index] : []));
      if (covers(cover, items, needs)) kept.offer(cover, costOf(cover, items));
    }
    return kept.list();
  }
  seed(items, needs, kept);
  search(items, needs, kept, limits.steps);
  return kept.list();
}

export function covers(cover: Cover, items: readonly CoverItem[], needs: readonly CoverNeed[]): boolean {
  return needs.every(({ free, fork }, host) => {
    let left = free;
    let largest = fork;
    items.forEach((item, index) => {
      if (cover.includes(index)) left += item.frees[host] ?? 0;
      else largest = Math.max(largest, item.forks[host] ?? 0);
    });
    return left >= largest;
  });
}

function costOf(cover: Cover, items: readonly CoverItem[]): number {
  return cover.reduce((sum, index) => sum + (items[index]?.cost ?? 0), 0);
}

interface Keeper {
  offer(cover: Cover, cost: number): void;
  /** What a set must cost less than to be kept. */
  bound(): number;
  list(): Cover[];
}

function keeper(most: number): Keeper {
  let kept: { readonly cover: Cover; readonly cost: number; readonly key: string }[] = [];
  const cut = (): void => {
    kept = kept.sort((a, b) => a.cost - b.cost || a.cover.length - b.cover.length).slice(0, most);
  };
  return {
    offer(cover, cost) {
      kept.push({ cover, cost, key: cover.join() });
      // Sorted now and then: once for each would cost more than it saves.
      if (kept.length >= 2 * most) cut();
    },
    bound() {
      return kept.length < most ? Number.POSITIVE_INFINITY : (kept[most - 1]?.cost ?? 0);
    },
    list() {
      kept = [...new Map(kept.map((one) => [one.key, one])).values()];
      cut();
      return kept.map(({ cover }) => cover);
    },
  };
}

/** Alone, and by two: usually the cheapest are among these. */
function seed(items: readonly CoverItem[], needs: readonly CoverNeed[], kept: Keeper): void {
  items.forEach((first, a) => {
    if (covers([a], items, needs)) kept.offer([a], first.cost);
    for (let b = a + 1; b < items.length; b += 1) {
      const cost = first.cost + (items[b]?.cost ?? 0);
      if (cost < kept.bound() && covers([a, b], items, needs)) kept.offer([a, b], cost);
    }
  });
}

/** Depth first, with or without each item in turn; a branch that cannot end cheaper than what is kept is not entered. */
function search(items: readonly CoverItem[], needs: readonly CoverNeed[], kept: Keeper, steps: number): void {
  const order = items
    .map((item, index) => ({ item, index, ratio: Math.max(...item.frees) / Math.max(1, item.cost) }))
    .sort((a, b) => b.ratio - a.ratio || b.item.cost - a.item.cost);
  const ahead = suffixes(
    order.map(({ item }) => item),
    needs.length,
  );
  let left = steps;
  const chosen: number[] = [];

  const visit = (depth: number, cost: number, free: readonly number[], fork: readonly number[]): void => {
    left -= 1;
    const rest = ahead[depth];
    const next = order[depth];
    if (left < 0 || rest === undefined || next === undefined) return;
    let least = 0;
    for (let host = 0; host < needs.length; host += 1) {
      const missing = (fork[host] ?? 0) - (free[host] ?? 0);
      if (missing <= 0) continue;
      if (missing > (rest.frees[host] ?? 0)) return;
      least = Math.max(least, missing / (rest.ratio[host] ?? 1));
    }
    if (cost + least >= kept.bound()) return;
    const { item, index } = next;
    const freed = free.map((bytes, host) => bytes + (item.frees[host] ?? 0));
    const after = ahead[depth + 1];
    chosen.push(index);
    const enough = freed.every((bytes, host) => bytes >= Math.max(fork[host] ?? 0, after?.fork[host] ?? 0));
    if (enough)
      kept.offer(
        [...chosen].sort((a, b) => a - b),
        cost + item.cost,
      );
    visit(depth + 1, cost + item.cost, freed, fork);
    chosen.pop();
    visit(
      depth + 1,
      cost,
      free,
      fork.map((bytes, host) => Math.max(bytes, item.forks[host] ?? 0)),
    );
  };
  visit(
    0,
    0,
    needs.map(({ free }) => free),
    needs.map(({ fork }) => fork),
  );
}

interface Ahead {
  /** Of all that is still to be decided, for each host. */
  readonly frees: readonly number[];
  /** The most that one byte of cost frees. */
  readonly ratio: readonly number[];
  readonly fork: readonly number[];
}

function suffixes(items: readonly CoverItem[], hosts: number): Ahead[] {
  const zeros = Array.from({ length: hosts }, () => 0);
  let last: Ahead = { frees: zeros, ratio: zeros, fork: zeros };
  const all = [last];
  for (const { cost, frees, forks } of items.toReversed()) {
    const before = last;
    last = {
      frees: before.frees.map((sum, host) => sum + (frees[host] ?? 0)),
      ratio: before.ratio.map((best, host) => Math.max(best, (frees[host] ?? 0) / Math.max(1, cost))),
      fork: before.fork.map((largest, host) => Math.max(largest, forks[host] ?? 0)),
    };
    all.push(last);
  }
  return all.reverse();
}
