/** What there is of a database before it is restored in place: nothing of it has to be there. */

import type { DataFile } from '../fleet/facts.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { StandingProcess } from '../fleet/restore.js';
import { control, onHost } from './engine/activityOptions.js';
import { failureKind } from './engine/failures.js';

/** An agent that is there answers at once. */
const AGENT_WITHIN_MS = 10_000;

/** The leader first. */
export function lookAtStanding(record: DatabaseRecord): Promise<readonly StandingProcess[]> {
  const { leader, follower, extraFollowers = [] } = record;
  const followers = [...(follower === null ? [] : [follower]), ...extraFollowers];
  return Promise.all([
    lookAtOne(record.database, leader, 'leader'),
    ...followers.map((endpoint) => lookAtOne(record.database, endpoint, 'follower')),
  ]);
}

async function lookAtOne(
  database: string,
  endpoint: Endpoint,
  role: StandingProcess['role'],
): Promise<StandingProcess> {
  const { host } = endpoint;
  const [onItsHost, observation] = await Promise.all([
    lookOnHost(database, host),
    control(`look at ${host}`).observe({ endpoint }),
  ]);
  const facts = observation.reachable ? observation.facts : null;
  if (onItsHost === null)
    return { endpoint, role, agent: false, state: facts === null ? 'unknown' : 'running', facts, file: null };
  return { endpoint, role, agent: true, ...onItsHost, facts };
}

/** null: its agent does not answer. */
async function lookOnHost(
  database: string,
  host: string,
): Promise<Pick<StandingProcess, 'state' | 'file'> | null> {
  try {
    const bounds = { scheduleToStartTimeout: AGENT_WITHIN_MS };
    const process = await onHost(host, `process of ${database}`, bounds).hostProcess({ database });
    const file = await usableFile(
      onHost(host, `data file of ${database}`, bounds).readDataFile({ database }),
    );
    return { state: process?.state ?? 'never started', file };
  } catch (error) {
    if (failureKind(error) === 'nobody serves') return null;
    throw error;
  }
}

async function usableFile(reading: Promise<DataFile | null>): Promise<DataFile | null> {
  try {
    return await reading;
  } catch (error) {
    if (failureKind(error) === 'BadDataFile') return null;
    throw error;
  }
}
