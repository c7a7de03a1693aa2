/** The undo of a restore in place: the data that was there before, and the processes that ran. */

import type { ProcessSpec } from '../activities/contracts.js';
import type { StandingProcess } from '../fleet/restore.js';
import type { RestorePlace } from '../fleet/restorePlace.js';
import { loaded, runIdNow } from './bringUpStart.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';

const FOLLOW_DEADLINE_MS = 30_000;

/** Nothing that was acknowledged is lost: the restored leader took no writes, and the old one was stopped with its data. */
export async function putBack(place: RestorePlace, before: readonly StandingProcess[]): Promise<void> {
  const { database } = place;
  for (const process of before) if (process.agent) await replaceData(place, process);
  const [leader, ...followers] = before;
  if (leader?.agent !== true || leader.facts === null) return;
  if (leader.facts.role === 'leader') await leadAgain(database, leader);
  const { runId, totalForks } = await control(`look at ${leader.endpoint.host}`).inspect({
    endpoint: leader.endpoint,
  });
  for (const { endpoint, facts, agent } of followers) {
    if (!agent || facts?.link?.up !== true) continue;
    await control(`${database} follows again`).follow({
      follower: endpoint,
      leader: { endpoint: leader.endpoint, runId, totalForks },
      deadlineMs: FOLLOW_DEADLINE_MS,
    });
  }
}

/** A process that still is the one from before keeps what it has. */
async function replaceData(
  { database, process }: RestorePlace,
  { endpoint, facts, state }: StandingProcess,
): Promise<void> {
  if (facts !== null && (await runIdNow(database, endpoint)) === facts.runId) return;
  const host = onHost(endpoint.host, `put ${database} back on ${endpoint.host}`, FOR_DATA);
  await host.stopProcess({ database, save: false });
  await host.restoreDataFile({ database });
  // One that hung was killed: from its older file it would serve an older state as if nothing had happened.
  if (state !== 'running' || facts === null) return;
  const spec: ProcessSpec = { ...process, port: endpoint.port };
  await host.startProcess({ process: spec, allowEmpty: true });
  await loaded(database, endpoint);
}

async function leadAgain(database: string, { endpoint, facts }: StandingProcess): Promise<void> {
  const now = await control(`look at ${endpoint.host}`).inspect({ endpoint });
  if (now.runId !== facts?.runId) {
    const file = await onHost(endpoint.host, `data file of ${database}`).readDataFile({ database });
    await onHost(endpoint.host, `${database} leads again`).leadFromFile({
      leader: endpoint,
      position: file?.header.position ?? null,
    });
  }
  await control(`${database} serves again`).letServe({ leader: endpoint });
}
