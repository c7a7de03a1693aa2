/** The clients of a traffic process: ioredis as an application has it, one for each way to find the leader. */

import { Redis } from 'ioredis';
import { connectFleet, type FleetConnection } from '../client/index.js';
import { consulFromEnvironment } from '../connections/consul.js';
import type { Route, StreamOptions } from './trafficContract.js';

const RETRY_MS = 20;
const FOR_EVER_MS = 3_600_000;
const CONNECT_TIMEOUT_MS = 1000;

const connections = new Map<string, FleetConnection>();

export function clientOf({ name, route, login }: StreamOptions): Redis {
  const who = {
    ...(login.username === undefined ? {} : { username: login.username }),
    ...(login.password === undefined ? {} : { password: login.password }),
  };
  switch (route.by) {
    case 'address':
      // It waits as long as the process takes to answer, and comes back to it for ever.
      return new Redis({
        host: route.address,
        port: route.port,
        ...who,
        enableReadyCheck: false,
        enableOfflineQueue: false,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        retryStrategy: () => RETRY_MS,
        connectTimeout: CONNECT_TIMEOUT_MS,
        disableClientInfo: true,
      });
    case 'sentinel':
      // As good as ioredis can be told to be: it is subscribed to all sentinels, does not wait for a leader that is gone
      // to close its side, asks again at once, and leaves a leader that turns out to be a follower.
      return comingBack(
        new Redis({
          name,
          sentinels: route.sentinels.map(({ address, port }) => ({ host: address, port })),
          ...who,
          failoverDetector: route.subscribed,
          sentinelRetryStrategy: () => RETRY_MS,
          sentinelReconnectStrategy: () => RETRY_MS,
          sentinelCommandTimeout: CONNECT_TIMEOUT_MS,
          retryStrategy: () => RETRY_MS,
          reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
          connectTimeout: CONNECT_TIMEOUT_MS,
          disconnectTimeout: 1,
          maxRetriesPerRequest: null,
          disableClientInfo: true,
        }),
      );
    case 'fleet':
      return connectionTo(route).redis(name, {
        ...who,
        onInterrupted: 'retry',
        maxWaitMs: FOR_EVER_MS,
        disableClientInfo: true,
      });
    case 'trying': {
      const [first, second] = route.both;
      const client = new Redis({
        host: first.address,
        port: first.port,
        ...who,
        enableReadyCheck: false,
        retryStrategy: () => {
          const next = client.options.host === first.address ? second : first;
          client.options.host = next.address;
          client.options.port = next.port;
          return 1;
        },
        reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
        disconnectTimeout: 1,
        maxRetriesPerRequest: null,
        disableClientInfo: true,
      });
      return client;
    }
  }
}

/** As an application has it: one for all databases of a fleet. */
function connectionTo({ fleet, env }: Extract<Route, { readonly by: 'fleet' }>): FleetConnection {
  const key = JSON.stringify([fleet, env]);
  const known = connections.get(key) ?? connectFleet({ fleet, consul: consulFromEnvironment(env) });
  connections.set(key, known);
  return known;
}

/** ioredis gives up for good when a sentinel tells it of a switch while it asks one who leads. */
function comingBack(client: Redis): Redis {
  client.on('end', () => {
    setTimeout(() => void client.connect().catch(() => undefined), RETRY_MS);
  });
  return client;
}
