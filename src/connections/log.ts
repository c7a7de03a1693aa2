/** The structured log: one JSON line an event on stderr, without secrets. */

import { pino } from 'pino';
import type { DestinationStream, Level, Logger } from 'pino';
import { redacted, rememberSecretsOf, withoutSecrets } from './redaction.js';

export type Log = Logger;

const LEVELS: readonly Level[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

function levelOf(env: NodeJS.ProcessEnv): Level | 'silent' {
  const wanted = env['REDIS_FLEET_LOG_LEVEL']?.toLowerCase();
  if (wanted === 'silent') return wanted;
  return LEVELS.find((level) => level === wanted) ?? 'info';
}

/**
 * @param component who speaks: `worker`, `agent redis-01-a`, …
 * @param env REDIS_FLEET_LOG_LEVEL: trace, debug, info (default), warn, error, fatal or silent
 */
export function createLog(
  component: string,
  env: NodeJS.ProcessEnv = process.env,
  destination: DestinationStream = pino.destination({ fd: 2, sync: true }),
): Log {
  rememberSecretsOf(env);
  return pino(
    {
      level: levelOf(env),
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (level) => ({ level }),
        log: (fields) => redacted(fields) as Record<string, unknown>,
      },
      serializers: { err: (error: unknown) => error },
      hooks: {
        logMethod(args, method) {
          const [first, ...rest] = args.map((arg) => (typeof arg === 'string' ? withoutSecrets(arg) : arg));
          method.apply(this, [first, ...rest] as typeof args);
        },
      },
    },
    destination,
  );
}
