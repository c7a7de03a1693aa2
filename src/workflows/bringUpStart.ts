/** The step of a bring-up that puts the follower's data file in place and starts its process. */

import type { Placement, ProcessSpec } from '../activities/contracts.js';
import type { BackupsOf } from '../activities/restoreContract.js';
import { configuredBacklog } from '../fleet/backlog.js';
import type { BringUpFacts, ChosenWay } from '../fleet/bringUp.js';
import type { Endpoint } from '../fleet/record.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';
import { START } from './bringUpOutline.js';
import { failureKind, failureMessage, refusal } from './engine/failures.js';
import type { Runbook } from './engine/runbook.js';

const LOAD_DEADLINE_MS = 3_600_000;

export async function startFollower(
  runbook: Runbook,
  { database: { name: database, maxmemory }, followerHost, follower, store }: Placement,
  chosen: ChosenWay,
  facts: BringUpFacts,
  fleet: string,
): Promise<void> {
  if (chosen.way === 'following') {
    return;
  }
  const host = onHost(followerHost.name, `${database} on ${followerHost.name}`, FOR_DATA);
  const before = facts.follower.process.state === 'running' ? facts.follower.process.facts : null;
  const process: ProcessSpec = {
    database,
    port: follower.port,
    maxmemory,
    backlogBytes: configuredBacklog(maxmemory),
  };
  const goesOn = chosen.way === 'own-files' && chosen.running;
  /** The process that was there before, not one that an earlier attempt started. */
  const stillThatBefore = async (): Promise<boolean> =>
    before !== null && (await runIdNow(database, follower)) === before.runId;

  await runbook.step({
    ...START,
    undo: {
      does: goesOn
        ? 'Lets the follower go: it keeps its data and follows nobody.'
        : 'Stops the follower and puts its old data file back; starts it again with that, if it ran before.',
      run: async () => {
        if (goesOn) {
          await control(`let go of ${database}`).detach({ follower });
          return;
        }
        if (fromStore(chosen)) await discardFetched(followerHost.name, database);
        if (await stillThatBefore()) return;
        await host.stopProcess({ database, save: false });
        await host.restoreDataFile({ database });
        if (before !== null) await host.startProcess({ process, allowEmpty: true });
      },
    },
    run: async () => {
      if (goesOn) return;
      if (await stillThatBefore()) {
        // What it holds is kept for an abort. A file that was chosen is not written over.
        const save = chosen.way !== 'own-files' && before !== null && before.keys > 0;
        await host.stopProcess({ database, save });
      }
      if ((await runIdNow(database, follower)) === null) {
        await placeData(host, { store, fleet, database }, chosen);
      }
      await host.startProcess({ process, allowEmpty: true });
      await loaded(database, follower);
    },
  });
}

async function placeData(host: ReturnType<typeof onHost>, of: BackupsOf, chosen: ChosenWay): Promise<void> {
  const { database } = of;
  switch (chosen.way) {
    case 'following':
    case 'own-files':
      return;
    case 'backup': {
      const file = fromStore(chosen) ? await fetchOneOf(host, of, chosen.ids) : chosen.file;
      await host.placeBackup({ database, file });
      return;
    }
    case 'chain':
    case 'full':
      await host.setDataFileAside({ database });
  }
}

export function fromStore(chosen: ChosenWay): chosen is Extract<ChosenWay, { ids: readonly string[] }> {
  return 'ids' in chosen;
}

/** The first that is whole. */
async function fetchOneOf(
  host: ReturnType<typeof onHost>,
  of: BackupsOf,
  ids: readonly string[],
): Promise<string> {
  const damaged: string[] = [];
  for (const id of ids) {
    const fetched = await host.fetchBackup({ ...of, id, into: of.database });
    if (fetched.sound) return fetched.backup.file;
    damaged.push(fetched.why);
  }
  throw refusal(
    'BadDataFile',
    `No backup of ${of.database} that the leader's backlog covers is whole. ${damaged.join(' ')} The leader was not touched. ` +
      'Abort this runbook, and start it again: it will choose another way.',
  );
}

export async function discardFetched(host: string, database: string): Promise<void> {
  await onHost(host, 'remove what was fetched').discardFetched({ into: database });
}

/** null: it does not run. `unknown`: it runs and does not answer. */
export async function runIdNow(database: string, follower: Endpoint): Promise<string | null> {
  const seen = await onHost(follower.host, `process of ${database}`).hostProcess({ database });
  if (seen?.state !== 'running') return null;
  const observation = await control(`look at ${follower.host}`).observe({ endpoint: follower });
  return observation.reachable ? observation.facts.runId : 'unknown';
}

/** A file that looks whole may still be broken inside: Redis finds that out while it loads, says so, and exits. */
export async function loaded(database: string, follower: Endpoint): Promise<void> {
  try {
    await control(`${database} loads`, FOR_DATA).awaitLoaded({
      endpoint: follower,
      deadlineMs: LOAD_DEADLINE_MS,
    });
  } catch (error) {
    if (failureKind(error) !== 'ProcessDied') {
      throw error;
    }
    const seen = await onHost(follower.host, `last words of ${database}`).hostProcess({ database });
    throw refusal(
      'ProcessDied',
      `${failureMessage(error)} The last lines of its log: ${seen?.lastWords ?? 'none'}. ` +
        'Abort this runbook, then start it again with a good data file, or without --backup.',
    );
  }
}
