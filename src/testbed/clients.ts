import { Redis } from 'ioredis';

export interface Address {
  readonly address: string;
  readonly port: number;
}

/** Of Redis. Without a user name: the application's user. */
export interface Login {
  readonly username?: string;
  readonly password?: string;
}

/**
 * A connection as an application has it, without the retries and the queue of ioredis: a write that was not
 * answered must never be sent twice in silence. Connects when told; the caller disconnects it.
 */
export function openClient(where: Address, login: Login, timeoutMs: number): Redis {
  const client = new Redis({
    host: where.address,
    port: where.port,
    ...(login.username === undefined ? {} : { username: login.username }),
    ...(login.password === undefined ? {} : { password: login.password }),
    protocol: 2,
    disableClientInfo: true,
    lazyConnect: true,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: null,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
  });
  // Errors arrive through the promises; without a listener ioredis prints them.
  client.on('error', () => undefined);
  return client;
}
