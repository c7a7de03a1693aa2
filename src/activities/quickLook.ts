/** One short look at a Redis process in the critical path of an outage: what it says, or how it does not answer. */

import type { Credentials } from '../connections/credentials.js';
import { describeRedisError, openRedis } from '../connections/redis.js';
import { reach } from '../connections/reach.js';
import type { Redis } from '../connections/redis.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { CandidateSeen } from '../fleet/promotionChoice.js';
import type { Endpoint } from '../fleet/record.js';

export type QuickLook =
  | {
      readonly answers: true;
      readonly facts: ProcessFacts;
      /** Of a follower. Milliseconds, in steps of a second: since its leader's last word; since its link went down. */
      readonly silentForMs: number | null;
      readonly downForMs: number | null;
    }
  | {
      readonly answers: false;
      /** `stranger`: what answers does not know our user. `busy`: it lives, and runs a script. */
      readonly how: 'refused' | 'silent' | 'stranger' | 'busy';
      readonly why: string;
    };

/** Never throws for a process that does not answer. */
export async function quickLook(
  endpoint: Endpoint,
  credentials: Pick<Credentials, 'administrator'>,
  timeoutMs: number,
): Promise<QuickLook> {
  const { look, close } = await openLook(endpoint, credentials, timeoutMs);
  close();
  return look;
}

/** The same for one that has most likely ended. */
export async function quickLookAtLost(
  endpoint: Endpoint,
  credentials: Pick<Credentials, 'administrator'>,
  timeoutMs: number,
): Promise<QuickLook> {
  try {
    await reach(endpoint, timeoutMs);
  } catch (error) {
    const told = describeRedisError(endpoint, error, timeoutMs);
    return { answers: false, how: howSilent(error, null, told), why: messageOf(told) };
  }
  return await quickLook(endpoint, credentials, timeoutMs);
}

/** The same, with the connection for what follows. The caller closes it. */
export async function openLook(
  endpoint: Endpoint,
  credentials: Pick<Credentials, 'administrator'>,
  timeoutMs: number,
): Promise<{ readonly look: QuickLook; readonly redis: Redis; readonly close: () => void }> {
  const redis = openRedis(endpoint, credentials, { timeoutMs });
  // `connect()` rejects with "Connection is closed."; the cause comes as an event.
  let cause: unknown = null;
  redis.on('error', (error) => (cause = error));
  const close = (): void => redis.disconnect();
  try {
    await redis.connect();
    return { look: seen(await redis.info()), redis, close };
  } catch (error) {
    const closed = /^Connection is closed/.test(messageOf(error));
    const told = describeRedisError(endpoint, closed && cause !== null ? cause : error, timeoutMs);
    return {
      look: { answers: false, how: howSilent(cause, error, told), why: messageOf(told) },
      redis,
      close,
    };
  }
}

/** Over a connection that was opened for a look. */
export async function lookAgain(redis: Redis, endpoint: Endpoint, timeoutMs: number): Promise<QuickLook> {
  try {
    return seen(await redis.info());
  } catch (error) {
    const told = describeRedisError(endpoint, error, timeoutMs);
    return { answers: false, how: howSilent(null, error, told), why: messageOf(told) };
  }
}

/** As one that might lead. */
export function candidateSeen(look: QuickLook): CandidateSeen {
  if (!look.answers) return { answers: false, why: look.why };
  const { role, loading, position, previous, link } = look.facts;
  return {
    answers: true,
    role,
    loading,
    position,
    previous,
    link:
      link === null
        ? null
        : {
            up: link.up,
            synchronising: link.synchronising,
            silentForMs: look.silentForMs,
            downForMs: look.downForMs,
          },
  };
}

function seen(info: string): QuickLook {
  const seconds = (name: string): number | null => {
    const value = Number(new RegExp(`^${name}:(-?\\d+)`, 'm').exec(info)?.[1] ?? -1);
    return value < 0 ? null : value * 1000;
  };
  return {
    answers: true,
    facts: parseProcessFacts(info),
    silentForMs: seconds('master_last_io_seconds_ago'),
    downForMs: seconds('master_link_down_since_seconds'),
  };
}

function howSilent(
  cause: unknown,
  error: unknown,
  told: unknown,
): 'refused' | 'silent' | 'stranger' | 'busy' {
  for (const one of [cause, error]) {
    if (one instanceof Error && 'code' in one && one.code === 'ECONNREFUSED') return 'refused';
    if (one instanceof Error && /^BUSY\b/.test(one.message)) return 'busy';
  }
  return told instanceof FleetError && told.kind === 'WrongCredentials' ? 'stranger' : 'silent';
}
