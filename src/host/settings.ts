import path from 'node:path';
import type { Credentials } from '../connections/credentials.js';
import type { Endpoint } from '../fleet/record.js';

/** What a host's processes need to know of where they run. */
export interface HostSettings {
  /** The host's name in the fleet. */
  readonly host: string;
  /** The host's address: Redis binds to it. */
  readonly address: string;
  /** What the fleet file lets Redis plan with here. Bytes. */
  readonly memory: number;
  /** The directory that holds the processes' directories. */
  readonly data: string;
  readonly credentials: Credentials;
  /** The program, by path or by a name on PATH. */
  readonly redisServer: string;
}

export function redisServerProgram(env: NodeJS.ProcessEnv): string {
  const named = env['REDIS_FLEET_BIN_REDIS_SERVER'];
  if (named === undefined || named === '') return 'redis-server';
  return named.includes('/') ? path.resolve(named) : named;
}

/** Beside redis-server, where that is named by its path. */
export function redisCheckRdbProgram(env: NodeJS.ProcessEnv): string {
  const named = env['REDIS_FLEET_BIN_REDIS_CHECK_RDB'];
  if (named !== undefined && named !== '') return named;
  return redisServerProgram(env).replace(/redis-server$/, 'redis-check-rdb');
}

export function endpointOf(settings: Pick<HostSettings, 'host' | 'address'>, port: number): Endpoint {
  return { host: settings.host, address: settings.address, port };
}
