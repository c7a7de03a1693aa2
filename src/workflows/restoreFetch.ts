/** Which backup is restored, and bringing it to the hosts: damaged ones are named and passed over. */

import type { BackupsOf, Fetched } from '../activities/restoreContract.js';
import type { Endpoint } from '../fleet/record.js';
import type { RestoreDatabaseRequest } from '../fleet/requests.js';
import type { FetchedBackup } from '../fleet/restore.js';
import { chooseRestore, type RestoreChoice } from '../fleet/restoreChoice.js';
import { FOR_DATA, onHost } from './engine/activityOptions.js';
import { failureKind, failureMessage, refusal } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';
import { CHOOSE, FETCH } from './restoreOutline.js';

/** An agent that is there answers at once; who waits for a host that is gone waits without a leader. */
const AGENT = { scheduleToStartTimeout: 10_000 } as const;

export type PossibleRestore = Extract<RestoreChoice, { possible: true }>;

/** A backup on the hosts that need it. */
export interface FetchedOnHosts {
  /** On the leader's host. */
  readonly backup: FetchedBackup;
  /** On the follower's host; null: it is not there. */
  readonly followerFile: string | null;
  /** A sentence about each that was passed over. */
  readonly damaged: readonly string[];
}

export async function chooseBackup(
  runbook: Runbook,
  of: BackupsOf,
  host: string,
  from: RestoreDatabaseRequest['from'],
): Promise<PossibleRestore> {
  const choice = await runbook.step({
    ...CHOOSE,
    preflight: true,
    run: async () => {
      const backups = await onHost(host, `backups of ${of.database}`).listBackups(of);
      const decided = chooseRestore(of.database, backups, from);
      if (!decided.possible) throw refusal('NoSafeWay', decided.why);
      return decided;
    },
  });
  for (const sentence of choice.passedOver) runbook.note(sentence);
  return choice;
}

/** The newest that is whole, or one of those before it, on both hosts at once. */
export async function fetchBackup(
  runbook: Runbook,
  of: BackupsOf,
  { ids }: PossibleRestore,
  into: { readonly database: string; readonly leader: Endpoint; readonly follower: Endpoint | null },
): Promise<FetchedOnHosts> {
  const { database, leader, follower } = into;
  const { found, damaged } = await runbook.step({
    ...FETCH,
    preflight: true,
    undo: {
      does: 'Removes what was fetched.',
      always: true,
      run: () => discardFetched(database, leader, follower),
    },
    run: async () => {
      const passed: string[] = [];
      for (const id of ids) {
        const [first, second] = await Promise.all([
          fetchOn(leader.host, of, id, database),
          follower === null ? null : fetchForFollower(of, id, database, follower),
        ]);
        if (first.sound) return { found: { backup: first.backup, second }, damaged: passed };
        passed.push(first.why);
      }
      throw refusal(
        'BadDataFile',
        `No backup of ${of.database} that may be restored is whole: nothing was changed. ${passed.join(' ')}`,
      );
    },
  });
  const { backup, second } = found;
  for (const why of damaged) runbook.note(why);
  if (damaged.length > 0) runbook.note(`The next older verified backup is taken instead: ${backup.id}.`);
  if (second !== null && 'why' in second)
    runbook.note(`The backup is not on the follower's host: ${second.why}`);
  return { backup, followerFile: second !== null && 'file' in second ? second.file : null, damaged };
}

/** Without it the leader does alone for now. */
async function fetchForFollower(
  of: BackupsOf,
  id: string,
  database: string,
  follower: Endpoint,
): Promise<{ readonly file: string } | { readonly why: string }> {
  try {
    const found = await fetchOn(follower.host, of, id, database);
    return found.sound ? { file: found.backup.file } : { why: found.why };
  } catch (error) {
    const kind = failureKind(error);
    if (kind === 'nobody serves' || kind === 'DiskFull') return { why: failureMessage(error) };
    throw error;
  }
}

function fetchOn(host: string, of: BackupsOf, id: string, into: string): Promise<Fetched> {
  return onHost(host, `fetch a backup to ${host}`, { ...FOR_DATA, ...AGENT }).fetchBackup({
    ...of,
    id,
    into,
  });
}

/** Hosts that are gone keep what they have: the next restore there writes over it. */
export async function discardFetched(
  database: string,
  leader: Endpoint,
  follower: Endpoint | null,
): Promise<void> {
  for (const { host } of [leader, ...(follower === null ? [] : [follower])]) {
    try {
      await onHost(host, `remove what was fetched to ${host}`, AGENT).discardFetched({ into: database });
    } catch (error) {
      if (failureKind(error) !== 'nobody serves') throw error;
    }
  }
}
