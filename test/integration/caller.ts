/** Runs activities as a workflow would call them, in this process. */

import { MockActivityEnvironment } from '@temporalio/testing';
import type { Client } from '@temporalio/client';
import { askTemporal } from '../../src/activities/owner.js';
import { recordActivities } from '../../src/activities/records.js';
import type { RecordActivities } from '../../src/activities/contracts.js';
import type { FleetConsul } from '../../src/connections/consul.js';
import { DEFAULT_BACKUPS, DEFAULT_RELOCATION, DEFAULT_DETECTION } from '../../src/fleet/fleet.js';
import type { Fleet } from '../../src/fleet/fleet.js';
import type { Endpoint } from '../../src/fleet/record.js';
import { recordStore } from '../../src/records/databases.js';
import { fleetStore } from '../../src/records/fleet.js';
import { permitStore } from '../../src/records/permits.js';
import { activityInterceptors } from '../../src/workers/activityInterceptors.js';

const GiB = 1024 ** 3;

/** Two servers in two zones, each with two databases. */
export function demoFleet(name: string): Fleet {
  const host = (server: number, side: 'a' | 'b') => ({
    name: `redis-0${server}-${side}`,
    zone: `az-${side}`,
    address: `127.0.${server}.${side === 'a' ? 1 : 2}`,
    memory: 4 * GiB,
  });
  return {
    name,
    servers: [1, 2].map((server) => ({
      name: `redis-0${server}`,
      hosts: [host(server, 'a'), host(server, 'b')],
    })),
    databases: [0, 1, 2, 3].map((at) => ({
      name: `sessions-0${at}`,
      server: at < 2 ? 'redis-01' : 'redis-02',
      port: 6300 + at,
      maxmemory: GiB / 4,
    })),
    detection: DEFAULT_DETECTION,
    leases: { ttl: 5000 },
    backups: DEFAULT_BACKUPS,
    relocation: DEFAULT_RELOCATION,
  };
}

export function endpointOn(server: number, side: 'a' | 'b', at = 0): Endpoint {
  return {
    host: `redis-0${server}-${side}`,
    address: `127.0.${server}.${side === 'a' ? 1 : 2}`,
    port: 6300 + at,
  };
}

/** A workflow that runs until somebody ends it: nobody serves its queue. */
export interface Caller {
  readonly workflowId: string;
  readonly runId: string;
  /** The activities, called by this workflow. */
  readonly activities: RecordActivities;
  /** Asks the running activity to stop, as a cancelled workflow does. */
  cancel(): void;
  /** Ends the workflow without giving it a chance to tidy up. */
  die(): Promise<void>;
}

export interface Stage {
  readonly consul: FleetConsul;
  readonly client: Client;
  readonly fleet: string;
}

let started = 0;

export async function startCaller(stage: Stage, name = 'bringUpFollower'): Promise<Caller> {
  started += 1;
  const handle = await stage.client.workflow.start('bringUpFollower', {
    taskQueue: 'nobody-serves-this',
    workflowId: `${name}/${stage.fleet}-${started}`,
  });
  const execution = { workflowId: handle.workflowId, runId: handle.firstExecutionRunId };
  const environment = new MockActivityEnvironment(
    { workflowExecution: execution, workflowType: 'bringUpFollower' },
    { interceptors: [activityInterceptors], logger: quiet },
  );
  return {
    ...execution,
    activities: inContext(environment, stageActivities(stage)),
    cancel: () => environment.cancel('CANCELLED'),
    die: async () => {
      await handle.terminate('killed by the test');
    },
  };
}

function stageActivities({ consul, client, fleet }: Stage): RecordActivities {
  return recordActivities({
    fleetName: fleet,
    records: recordStore(consul, fleet),
    permits: permitStore(consul, fleet),
    fleet: fleetStore(consul, fleet),
    askOwnerState: askTemporal(client),
  });
}

/** Every activity runs inside the environment's context. */
function inContext(environment: MockActivityEnvironment, activities: RecordActivities): RecordActivities {
  return new Proxy(activities, {
    get(target, name: keyof RecordActivities) {
      return (input: never) =>
        environment.run(() => (target[name] as (input: never) => Promise<unknown>)(input));
    },
  });
}

const nothing = (): void => undefined;
const quiet = { log: nothing, trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };
