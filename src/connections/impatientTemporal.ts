/**
 * A client of Temporal for whoever must know at once that it is away, and must reach it as soon as it is back: a worker's
 * own connection hides outages of up to ten seconds, and heeds no deadline meanwhile.
 */

import { Client, Connection } from '@temporalio/client';
import type { DataConverter } from '@temporalio/common';
import { temporalTarget } from './temporal.js';

const FIRST_RECONNECT_MS = 100;
const LAST_RECONNECT_MS = 500;
const CONNECT_TIMEOUT_MS = 1_000;

/** Connects when it is first used. Whoever made it closes its connection. @throws FleetError InvalidRequest */
export function impatientTemporalClient(env: NodeJS.ProcessEnv, dataConverter?: DataConverter): Client {
  const { config, namespace, address } = temporalTarget(env);
  const { tls, apiKey, metadata } = config.connectionOptions;
  const connection = Connection.lazy({
    address,
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Nothing is tried again behind the caller's back.
    interceptors: [],
    channelArgs: {
      'grpc.initial_reconnect_backoff_ms': FIRST_RECONNECT_MS,
      'grpc.max_reconnect_backoff_ms': LAST_RECONNECT_MS,
    },
    ...(tls === undefined ? {} : { tls }),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(metadata === undefined ? {} : { metadata }),
  });
  return new Client({ connection, namespace, ...(dataConverter === undefined ? {} : { dataConverter }) });
}
