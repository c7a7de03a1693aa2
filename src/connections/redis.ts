import { Redis } from 'ioredis';
import { FleetError, messageOf } from '../fleet/errors.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { ADMINISTRATOR_USER } from '../fleet/redisConfig.js';
import { CREDENTIALS_VARIABLE, type Credentials } from './credentials.js';

export type { Redis } from 'ioredis';

export interface RedisTimeouts {
  /** For the connection, and for each command. Milliseconds. */
  readonly timeoutMs: number;
}

/**
 * A connection as administrator that does nothing on its own: it connects when told (`connect()`), never
 * again after a loss, and queues no command for later. The caller disconnects it.
 */
export function openRedis(
  endpoint: Endpoint,
  credentials: Pick<Credentials, 'administrator'>,
  { timeoutMs }: RedisTimeouts,
): Redis {
  const redis = new Redis({
    host: endpoint.address,
    port: endpoint.port,
    username: ADMINISTRATOR_USER,
    password: credentials.administrator,
    // One AUTH and nothing else: these connections are short, and often in the critical path.
    protocol: 2,
    disableClientInfo: true,
    lazyConnect: true,
    // A process that still loads answers INFO and PING; waiting for it is the caller's decision.
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
    // A frozen process never closes its side: do not wait for it.
    disconnectTimeout: 1,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  });
  // Errors arrive through the promises; without a listener ioredis prints them.
  redis.on('error', () => undefined);
  return redis;
}

/**
 * Connects, uses and always disconnects. `signal` disconnects at once, so that what waits for a reply ends.
 * @throws Unreachable (refused, timed out, lost, loading), WrongCredentials; replies that are errors of the
 * command itself are thrown as they are, without its arguments
 */
export async function withRedis<T>(
  endpoint: Endpoint,
  credentials: Pick<Credentials, 'administrator'>,
  options: RedisTimeouts & { readonly signal?: AbortSignal },
  use: (redis: Redis) => Promise<T>,
): Promise<T> {
  const { signal, timeoutMs } = options;
  signal?.throwIfAborted();
  const redis = openRedis(endpoint, credentials, { timeoutMs });
  // `connect()` rejects with "Connection is closed."; the cause comes as an event.
  let cause: unknown = null;
  redis.on('error', (error) => (cause = error));
  const disconnect = (): void => redis.disconnect();
  signal?.addEventListener('abort', disconnect, { once: true });
  try {
    await redis.connect();
    return await use(redis);
  } catch (error) {
    signal?.throwIfAborted();
    const closed = error instanceof Error && /^Connection is closed/.test(error.message);
    throw describeRedisError(endpoint, closed && cause !== null ? cause : error, timeoutMs);
  } finally {
    signal?.removeEventListener('abort', disconnect);
    redis.disconnect();
  }
}

/**
 * The same error in our words where it is about the connection. Never carries a command's arguments, which
 * ioredis attaches to its errors: an AUTH has a password among them.
 */
export function describeRedisError(endpoint: Endpoint, error: unknown, timeoutMs: number): unknown {
  if (error instanceof FleetError || !(error instanceof Error)) return error;
  const where = `Redis at ${showEndpoint(endpoint)}`;
  const message = messageOf(error);
  if (/^(WRONGPASS|NOAUTH|NOPERM)\b/.test(message)) {
    return new FleetError(
      'WrongCredentials',
      `${where} refuses the user "${ADMINISTRATOR_USER}" with the password of the file that ` +
        `${CREDENTIALS_VARIABLE} names (${message.split(' ', 1)[0] ?? ''}). Nothing was changed. ` +
        `Check "administrator" in that file against users.acl in the process's directory.`,
    );
  }
  if (/^LOADING\b/.test(message)) {
    return new FleetError(
      'Unreachable',
      `${where} is still loading its data file. It answers when that is done.`,
    );
  }
  if (/^BUSY\b/.test(message)) {
    return new FleetError('Unreachable', `${where} is busy with a long script or function (BUSY).`);
  }
  if (error.name === 'ReplyError') return withoutArguments(error);
  if (/^Unknown RESP type|^Protocol error/.test(message)) {
    return new FleetError('Unreachable', `${where} cannot be reached: what answers there is not Redis.`);
  }
  if (isConnectionError(error)) {
    return new FleetError(
      'Unreachable',
      `${where} cannot be reached: ${connectionProblem(error, timeoutMs)}.`,
    );
  }
  return error;
}

/** A reply that is an error of the command itself, e.g. `ERR …`, `MISCONF …`, as thrown by `withRedis`. */
export class RedisReplyError extends Error {
  override readonly name = 'RedisReplyError';
}

function withoutArguments(error: Error): RedisReplyError {
  return new RedisReplyError(error.message);
}

const CONNECTION_MESSAGE =
  /Connection is closed|Command timed out|Stream isn't writeable|max retries per request|Command aborted|Socket closed/i;

function codeOf(error: Error): string | null {
  return 'code' in error && typeof error.code === 'string' ? error.code : null;
}

function isConnectionError(error: Error): boolean {
  return /^(E[A-Z]+)$/.test(codeOf(error) ?? '') || CONNECTION_MESSAGE.test(error.message);
}

function connectionProblem(error: Error, timeoutMs: number): string {
  switch (codeOf(error) ?? '') {
    case 'ECONNREFUSED':
      return 'nothing listens there (ECONNREFUSED)';
    case 'ETIMEDOUT':
      return `no connection within ${timeoutMs} ms`;
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'there is no way to that address from here';
    case 'ECONNRESET':
      return 'it closed the connection (ECONNRESET)';
    default:
      if (error.message.includes('Command timed out'))
        return `connected, but no answer within ${timeoutMs} ms`;
      if (/Connection is closed|max retries|isn't writeable|aborted/i.test(error.message))
        return 'the connection was closed';
      return error.message;
  }
}
