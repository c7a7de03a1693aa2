/** Looks at the gates of every process that a record names: reads only. */

import { GATE_A_SHUT, REPLICATION_USER } from '../fleet/gates.js';
import type { GateReading } from '../fleet/checks.js';
import { messageOf } from '../fleet/errors.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { Credentials } from '../connections/credentials.js';
import { readCredentials } from '../connections/credentials.js';
import { withRedis } from '../connections/redis.js';
import type { Redis } from '../connections/redis.js';
import type { CheckInput } from '../fleet/checks.js';

const TIMEOUT_MS = 2_000;

export async function probeGates(
  env: NodeJS.ProcessEnv,
  records: readonly DatabaseRecord[],
): Promise<CheckInput['gates']> {
  let credentials: Credentials;
  try {
    credentials = readCredentials(env);
  } catch (error) {
    return { unknown: `The gates were not looked at. ${messageOf(error)}` };
  }
  const processes = records.flatMap(({ database, leader, follower, extraFollowers }) =>
    [leader, follower, ...(extraFollowers ?? [])].flatMap((endpoint) =>
      endpoint === null ? [] : [{ database, endpoint }],
    ),
  );
  return await Promise.all(processes.map(({ database, endpoint }) => probe(database, endpoint, credentials)));
}

async function probe(database: string, endpoint: Endpoint, credentials: Credentials): Promise<GateReading> {
  try {
    const open = await withRedis(endpoint, credentials, { timeoutMs: TIMEOUT_MS }, openGates);
    return { database, endpoint, open, problem: null };
  } catch (error) {
    return { database, endpoint, open: null, problem: messageOf(error) };
  }
}

async function openGates(redis: Redis): Promise<string[]> {
  const settings = Object.entries(GATE_A_SHUT);
  const values = await Promise.all(settings.map(([name]) => redis.config('GET', name)));
  const open = settings.flatMap(([name, shut], index) => {
    const value = valueOf(values[index]);
    return value === shut ? [] : [`${name} is ${value ?? 'unknown'}`];
  });
  const rules: unknown = await redis.acl('LIST');
  const user = (Array.isArray(rules) ? rules : [])
    .map(String)
    .find((rule) => rule.startsWith(`user ${REPLICATION_USER} `));
  if (user === undefined) return [...open, `there is no user ${REPLICATION_USER}`];
  // Whoever may SYNC gets past the gate; `-@all` with single commands added is how the user is made.
  return / \+(sync|@all|@dangerous|@admin)( |$)/.test(user)
    ? [...open, `user ${REPLICATION_USER} may SYNC`]
    : open;
}

/** `CONFIG GET` answers a name and a value, as a list or as a map. */
function valueOf(answer: unknown): string | null {
  if (Array.isArray(answer)) return answer.length < 2 ? null : String(answer[1]);
  return null;
}
