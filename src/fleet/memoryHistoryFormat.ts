/** A memory history as it is stored: names once, numbers in rows. What cannot be read is none: it only costs a forecast. */

import type {
  ForkSample,
  MemoryHistory,
  MemoryLimit,
  MemorySample,
  ProcessSample,
} from './relocation/state.js';

interface Stored {
  readonly version: 1;
  readonly host: string;
  readonly limitedBy: MemoryLimit;
  readonly cores: number;
  /** `[database, port, run]`, to which the rows refer by their place here. */
  readonly lives: readonly (readonly [string, number, string])[];
  /** `[at, total, available, [life, leads, used, resident, maxmemory, offset], …]` */
  readonly samples: readonly (readonly (number | readonly number[])[])[];
  readonly forks: readonly ForkSample[];
}

export function writeHistory({ host, limitedBy, cores, samples, forks }: MemoryHistory): Stored {
  const places = new Map<string, number>();
  const lives: [string, number, string][] = [];
  const placeOf = ({ database, port, run }: ProcessSample): number => {
    const key = `${database} ${port} ${run}`;
    const known = places.get(key) ?? lives.length;
    if (known === lives.length) lives.push([database, port, run]);
    places.set(key, known);
    return known;
  };
  const rows = samples.map(({ at, memory, processes }) => [
    at,
    memory.total,
    memory.available,
    ...processes.map((process) => [
      placeOf(process),
      process.role === 'leader' ? 1 : 0,
      process.usedMemory,
      process.residentMemory,
      process.maxmemory,
      process.offset,
    ]),
  ]);
  return { version: 1, host, limitedBy, cores, lives, samples: rows, forks };
}

/** null: it is nothing that `writeHistory` wrote. */
export function readHistory(value: unknown): MemoryHistory | null {
  if (!isStored(value)) return null;
  const { host, limitedBy, cores, lives, forks } = value;
  const samples = value.samples.flatMap((row): MemorySample[] => {
    const [at, total, available, ...processes] = row;
    if (typeof at !== 'number' || typeof total !== 'number' || typeof available !== 'number') return [];
    const read = processes.flatMap((one) => (typeof one === 'number' ? [] : processOf(one, lives)));
    return [{ at, memory: { total, available }, processes: read }];
  });
  return { host, limitedBy, cores, samples, forks };
}

function processOf(row: readonly number[], lives: Stored['lives']): ProcessSample[] {
  const [place = -1, leads, usedMemory = 0, residentMemory = 0, maxmemory = 0, offset = 0] = row;
  const life = lives[place];
  if (life === undefined) return [];
  const [database, port, run] = life;
  const role = leads === 1 ? 'leader' : 'follower';
  return [{ database, port, role, run, usedMemory, residentMemory, maxmemory, offset }];
}

function isStored(value: unknown): value is Stored {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 1 &&
    'host' in value &&
    typeof value.host === 'string' &&
    'limitedBy' in value &&
    'cores' in value &&
    'lives' in value &&
    Array.isArray(value.lives) &&
    'samples' in value &&
    Array.isArray(value.samples) &&
    value.samples.every((row) => Array.isArray(row)) &&
    'forks' in value &&
    Array.isArray(value.forks)
  );
}
