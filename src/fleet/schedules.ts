/** What a fleet has done on schedule, and what has to change for it. Pure; durations are milliseconds. */

import { DRILLS_PER_PERIOD } from './drills.js';
import { scheduleId } from './names.js';
import type { WorkflowType } from './names.js';
import type { Fleet } from './fleet.js';
import { hostsOf } from './placement.js';
import { showDuration } from './quantities.js';

/** A runbook that Temporal starts again and again, never beside one of its own that still runs. */
export interface FleetSchedule {
  readonly id: string;
  readonly type: WorkflowType;
  readonly request: { readonly [field: string]: unknown };
  /** What it is about, for search attributes. */
  readonly hosts: readonly string[];
  readonly every: number;
  /** From midnight UTC: each has its own, so that the hosts of a fleet do not start together. */
  readonly offset: number;
  /** Each start is put off by up to so much. */
  readonly jitter: number;
  /** A start that was missed for longer is not made up for: the next one does as well. */
  readonly catchUp: number;
  readonly paused: boolean;
  /** The first start is when it is made. */
  readonly atOnce: boolean;
}

/** A schedule as Temporal has it. */
export interface KnownSchedule extends Omit<FleetSchedule, 'hosts' | 'type' | 'atOnce'> {
  /** Of the workflow that it starts. */
  readonly type: string;
  /** Why it is paused, as whoever did it said. */
  readonly note: string;
}

/** How a pause of ours is told from a person's. */
export const PAUSED_BY_FILE = 'Paused by redis-fleet apply: backups.paused in the fleet file.';

export type ScheduleChange = {
  readonly id: string;
  /** For people. */
  readonly text: string;
} & (
  | { readonly kind: 'create' | 'change'; readonly schedule: FleetSchedule; readonly paused: boolean }
  | { readonly kind: 'remove' }
  /** Paused by a person: nothing is done to it. */
  | { readonly kind: 'left paused' }
);

export function schedulesOf(fleet: Fleet): readonly FleetSchedule[] {
  return [...sweepsOf(fleet), drillsOf(fleet)];
}

/**
 * A server's hosts swap roles, so each has one: its sweep finds what follows there now, and where nothing does it ends
 * at once.
 */
function sweepsOf(fleet: Fleet): readonly FleetSchedule[] {
  const { every, paused } = fleet.backups;
  return hostsOf(fleet).map(({ name: host }) => ({
    id: scheduleId('backupSweep', host),
    type: 'backupSweep',
    request: { host },
    hosts: [host],
    every,
    offset: spread(host, every),
    jitter: jitterOf(every),
    catchUp: every,
    paused,
    atOnce: true,
  }));
}

/** One for the fleet: whoever is due is drilled, wherever there is room. When it is made there is nothing to try out. */
function drillsOf({ name, backups: { drillWithin, paused } }: Fleet): FleetSchedule {
  const every = Math.ceil(drillWithin / DRILLS_PER_PERIOD / 1_000) * 1_000;
  return {
    id: scheduleId('drillBackups', name),
    type: 'drillBackups',
    request: {},
    hosts: [],
    every,
    offset: spread(name, every),
    jitter: jitterOf(every),
    catchUp: every,
    paused,
    atOnce: false,
  };
}

function jitterOf(every: number): number {
  return Math.min(LONGEST_JITTER, Math.floor(every / 20_000) * 1_000);
}

const LONGEST_JITTER = 300_000;

/** What to do so that Temporal has the wanted ones, and of those of this fleet no others. */
export function planSchedules(
  wanted: readonly FleetSchedule[],
  known: readonly KnownSchedule[],
): readonly ScheduleChange[] {
  return [
    ...wanted.flatMap(
      (schedule) =>
        changeOf(
          schedule,
          known.find(({ id }) => id === schedule.id),
        ) ?? [],
    ),
    ...known
      .filter(({ id }) => wanted.every((schedule) => schedule.id !== id))
      .map(({ id }): ScheduleChange => ({
        kind: 'remove',
        id,
        text: 'is removed: what it was for left the file',
      })),
  ];
}

function changeOf(schedule: FleetSchedule, known: KnownSchedule | undefined): ScheduleChange | null {
  const { id, every, paused } = schedule;
  const pace = `every ${showDuration(every)}`;
  if (known === undefined) {
    const text = paused
      ? `is new, and paused: backups.paused is true`
      : `is new: ${pace}${schedule.atOnce ? ', and now' : ''}`;
    return { kind: 'create', id, schedule, paused, text };
  }
  const isTheirs = known.paused && known.note !== PAUSED_BY_FILE;
  // A pause by hand outlives every apply.
  const shall = paused || isTheirs;
  const same = shapeOf(known) === shapeOf(schedule);
  if (same && known.paused === shall) {
    return isTheirs && !paused
      ? { kind: 'left paused', id, text: `was paused by hand, and stays so: ${known.note}` }
      : null;
  }
  const words = [
    ...(known.every === every ? [] : [`every ${showDuration(known.every)} → ${showDuration(every)}`]),
    ...(known.paused === shall ? [] : [shall ? 'is paused' : `goes on, ${pace}`]),
  ];
  const text = words.length > 0 ? words.join(', ') : 'is brought up to date';
  return { kind: 'change', id, schedule, paused: shall, text };
}

function shapeOf(schedule: Omit<KnownSchedule, 'note'>): string {
  const { type, request, every, offset, jitter, catchUp } = schedule;
  return JSON.stringify([type, request, every, offset, jitter, catchUp]);
}

/** The same for the same name, and spread over the whole time between two starts. Whole seconds. */
function spread(name: string, every: number): number {
  let hash = 2_166_136_261;
  for (const letter of name) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 16_777_619) >>> 0;
  return (hash % Math.max(1, Math.floor(every / 1_000))) * 1_000;
}
