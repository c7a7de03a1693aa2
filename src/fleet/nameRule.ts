/** What a name may be: it becomes a DNS label (a Consul service), a part of a workflow id, a directory. */

export const NAME_PATTERN = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Completes a sentence that begins with the name of the field; null when the name is good. */
export function nameProblem(name: string): string | null {
  if (NAME_PATTERN.test(name)) return null;
  const proposal = nearestName(name);
  const rule = 'is not a name (1 to 63 of a-z, 0-9 and -, a letter first, no - at the end)';
  return `${JSON.stringify(name.slice(0, 80))} ${rule}, write ${proposal ?? 'for example sessions-01'} instead`;
}

function nearestName(name: string): string | null {
  const proposal = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return NAME_PATTERN.test(proposal) ? proposal : null;
}

/** Whether `name` holds `part` as whole words between dashes: `redis-01-cache` holds `redis-01`, not `redis-0`. */
export function holdsName(name: string, part: string): boolean {
  return `-${name}-`.includes(`-${part}-`);
}

/** The candidate that `written` was probably meant to be, or null. */
export function didYouMean(written: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(written.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substituted, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
