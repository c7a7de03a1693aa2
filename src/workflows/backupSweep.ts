/**
 * Backs up every database whose follower is on one host, oldest backup first. Two are under way at a time: one forks
 * while the file of the one before is stored; never do two fork. What goes wrong with one is reported, and stops no
 * other.
 */

import type { BackupOutcome } from '../activities/backupContract.js';
import type { BackupSweepRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { backUp, type Wanted } from './backupOne.js';
import { local } from './engine/activityOptions.js';
import { failureKind, failureMessage } from './engine/failures.js';
import { now } from './engine/log.js';
import { runRunbook } from './engine/runbook.js';
import { CancellationScope, isCancellation } from '@temporalio/workflow';
import { inLanes } from './lanes.js';

/** One that ended otherwise than it should; its leader was not touched. */
export interface FailedBackup {
  readonly how: 'failed';
  readonly database: string;
  /** An `ErrorKind`, `nobody serves`, or the type of whatever else was thrown. */
  readonly kind: string | null;
  readonly why: string;
}

export type SweptDatabase = BackupOutcome | FailedBackup;

export interface Sweep {
  readonly host: string;
  /** In the order in which they were taken. */
  readonly databases: readonly SweptDatabase[];
  readonly verified: number;
}

const CHECK = {
  name: 'look what is here',
  does: 'Validates the argument, and looks whose followers are on this host, oldest backup first.',
};
const BACK_UP = {
  name: 'back up the databases',
  does: 'Makes one follower after the other save, stores the files, reads them back, and records them as verified.',
};

const UNDER_WAY = 2;

export async function backupSweep(input: BackupSweepRequest): Promise<RunbookResult<Sweep>> {
  return runRunbook({ title: 'Back up the followers on a host' }, async (runbook) => {
    runbook.outline([CHECK, BACK_UP]);
    const since = now();
    const { fleet, host, plan } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: async () => {
        const checked = await local().checkRequest({ type: 'backupSweep', request: input });
        const { host: wanted } = checked.request;
        return { fleet: checked.fleet, host: wanted, plan: await local().planBackups({ host: wanted }) };
      },
    });
    runbook.subject({ fleet, hosts: [host] });

    const swept = new Map<string, SweptDatabase>();
    /** The first of those that are asked for at the same time; later ones are asked for one by one. */
    const before = (database: string): string | null =>
      plan.databases.indexOf(database) < UNDER_WAY ? beforeIn(plan.databases, database) : null;
    for (const { database, why } of plan.withoutFollower) {
      swept.set(database, { how: 'skipped', database, why, follower: null });
      runbook.note(`${database} is skipped: ${why}.`);
    }
    await runbook.step({
      ...BACK_UP,
      run: async () => {
        let nobodyServes: string | null = null;
        await inLanes(UNDER_WAY, plan.databases, async (database) => {
          const outcome: SweptDatabase =
            nobodyServes === null
              ? await sweepOne(host, { database, since, after: before(database) })
              : { how: 'failed', database, kind: 'nobody serves', why: nobodyServes };
          if (outcome.how === 'failed' && outcome.kind === 'nobody serves') nobodyServes = outcome.why;
          swept.set(database, outcome);
          if (outcome.how === 'failed') runbook.note(`${database} failed: ${outcome.why}`);
          if (outcome.how === 'skipped') runbook.note(`${database} is skipped: ${outcome.why}.`);
          if (outcome.how === 'verified' && outcome.untidy !== null) {
            runbook.note(`What had expired of ${database} could not be removed: ${outcome.untidy}`);
          }
        });
      },
    });
    const databases = [...swept.values()];
    const verified = databases.filter(({ how }) => how === 'verified').length;
    runbook.note(`${String(verified)} of ${String(databases.length)} databases have a new verified backup.`);
    return { host, databases, verified };
  });
}

function beforeIn(databases: readonly string[], database: string): string | null {
  return databases[databases.indexOf(database) - 1] ?? null;
}

async function sweepOne(host: string, wanted: Wanted): Promise<SweptDatabase> {
  try {
    return await backUp(host, wanted);
  } catch (error) {
    // The sweep itself was stopped.
    if (isCancellation(error) || CancellationScope.current().consideredCancelled) throw error;
    return { how: 'failed', database: wanted.database, kind: failureKind(error), why: failureMessage(error) };
  }
}
