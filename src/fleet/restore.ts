/** What a restore means for a database: where it goes, how old its data will be, and what is lost. Pure. */

import type { DataFile, ProcessFacts, ReplicationPosition } from './facts.js';
import { showAge, showSize } from './quantities.js';
import { showEndpoint, type Endpoint } from './record.js';

/** A backup that lies on a host, whole and checked. Sizes are bytes. */
export interface FetchedBackup {
  readonly id: string;
  /** On that host. */
  readonly file: string;
  /** ISO 8601: the data is as of then. */
  readonly takenAt: string;
  readonly epoch: number;
  readonly position: ReplicationPosition | null;
  readonly bytes: number;
  /** As its last check counted them; null: nobody did. */
  readonly keys: number | null;
  readonly redisVersion: string | null;
}

/** What there is of one process of a database before it is replaced. */
export interface StandingProcess {
  readonly endpoint: Endpoint;
  readonly role: 'leader' | 'follower';
  /** Its host's agent answers. */
  readonly agent: boolean;
  readonly state: 'running' | 'stopped' | 'never started' | 'unknown';
  /** null: it does not answer. */
  readonly facts: ProcessFacts | null;
  /** null: none, or one that cannot be used. */
  readonly file: DataFile | null;
}

export interface Loss {
  /** Of the data, when it is restored. */
  readonly ageMs: number;
  /** Bytes of the replication stream that are known to have been written since; null: it cannot be told. */
  readonly bytes: number | null;
  /** Where that is known from. */
  readonly source: Endpoint | null;
}

/** What a restore of `backup` loses, as far as anybody knows. @param now milliseconds since 1970 */
export function lossOf(
  backup: Pick<FetchedBackup, 'takenAt' | 'position'>,
  processes: readonly StandingProcess[],
  now: number,
): Loss {
  const ageMs = Math.max(0, now - Date.parse(backup.takenAt));
  const { position } = backup;
  const known = processes
    .flatMap(({ endpoint, facts, file }) => {
      const at = facts?.position ?? file?.header.position ?? null;
      return at === null ? [] : [{ endpoint, at, previous: facts?.previous ?? null }];
    })
    // A later leader has an id of its own, and counts on from the offset at which it took over.
    .filter(
      ({ at, previous }) =>
        position !== null &&
        (at.id === position.id || (previous?.id === position.id && position.offset <= previous.offset)),
    )
    .toSorted((a, b) => b.at.offset - a.at.offset)[0];
  if (known === undefined || position === null) return { ageMs, bytes: null, source: null };
  return { ageMs, bytes: Math.max(0, known.at.offset - position.offset), source: known.endpoint };
}

/** `42m old (as of 2026-…)`. */
export function ageText(backup: Pick<FetchedBackup, 'takenAt'>, { ageMs }: Loss): string {
  return `${showAge(ageMs)} old (as of ${backup.takenAt})`;
}

export function lossText({ bytes, source, ageMs }: Loss): string {
  if (bytes === 0 && source !== null)
    return `as far as ${showEndpoint(source)} tells, nothing was written since`;
  if (bytes !== null && source !== null)
    return `what was written since is lost: ${showSize(bytes)} of the replication stream, as far as ${showEndpoint(source)} tells`;
  return `what was written in these ${showAge(ageMs)} is lost, and how much that is nobody can tell: no process or file that is left continues the backup's history`;
}

/** What an engineer approves. */
export function replaceDanger(
  database: string,
  backup: FetchedBackup,
  processes: readonly StandingProcess[],
  loss: Loss,
): string {
  const keys = backup.keys === null ? '' : `, ${backup.keys} keys`;
  return (
    `All data of ${database} is replaced by backup ${backup.id}: ${ageText(backup, loss)}, ${showSize(backup.bytes)}${keys}; ` +
    `${lossText(loss)}. Now: ${processes.map(standingText).join('; ')}. ` +
    'Nobody can write until it is done. What is there now is kept until the end, and put back on abort.'
  );
}

function standingText({ endpoint, role, state, facts, file, agent }: StandingProcess): string {
  const who = `the ${role} ${showEndpoint(endpoint)}`;
  if (facts !== null) return `${who} runs with ${facts.keys} keys`;
  if (!agent) return `${who} does not answer, nor does its host's agent`;
  if (state === 'running')
    return `${who} runs and does not answer: it will be killed, and what it has not on disk is lost`;
  return `${who} does not run, ${file === null ? 'and has no data file' : `and has a data file of ${showSize(file.bytes)}`}`;
}
