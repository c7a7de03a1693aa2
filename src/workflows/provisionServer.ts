/**
 * Brings up the leaders and followers of a server for the databases that have no leader yet. Databases that are
 * established are left alone. Nobody forks, from birth: a follower starts from an empty file that stands where its
 * still empty leader stands, so that its first synchronisation is a partial one.
 */

import type { ForkBaseline, ProcessSpec } from '../activities/contracts.js';
import { configuredBacklog } from '../fleet/backlog.js';
import type { ReplicationPosition } from '../fleet/facts.js';
import type { Database, Host } from '../fleet/fleet.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import type { ProvisionServerRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import { control, local, onHost } from './engine/activityOptions.js';
import { runRunbook } from './engine/runbook.js';

export interface ProvisionedServer {
  readonly server: string;
  readonly provisioned: readonly string[];
  /** Databases that had a leader already. */
  readonly leftAlone: readonly string[];
  /** Forks on all new leaders since they started: 0. */
  readonly leaderForks: number;
}

const STEPS = [
  { name: 'check the request', does: 'Validates the argument.' },
  {
    name: 'read the server',
    does: 'Reads the server from the applied fleet, and which of its databases have a leader.',
  },
  {
    name: 'check the hosts',
    does: 'Both agents answer; memory, disk and ports suffice; no directory holds foreign data.',
  },
  {
    name: 'claim the databases',
    does: 'Creates a record of epoch 0 for each new database, owned by this runbook.',
  },
  { name: 'start the leaders', does: 'Starts the leader processes, empty, gated and following nobody.' },
  {
    name: 'make them lead',
    does: 'Promotes the empty processes and gives each a replication backlog, without a fork.',
  },
  {
    name: 'start the followers',
    does: "Starts each follower from an empty file that stands at its leader's offset.",
  },
  { name: 'follow the leaders', does: 'Points each follower at its leader: a partial synchronisation.' },
  { name: 'wait for equal offsets', does: "Waits until each follower has reached its leader's offset." },
  { name: 'prove that no leader forked', does: "Reads the leaders' own counters." },
  { name: 'publish the records', does: 'Epoch 1: from here on applications find the leaders.' },
  { name: 'release the databases', does: 'Other runbooks may work on them.' },
] as const;

const FOLLOW_DEADLINE_MS = 30_000;
const CATCH_UP_DEADLINE_MS = 30_000;

export async function provisionServer(
  input: ProvisionServerRequest,
): Promise<RunbookResult<ProvisionedServer>> {
  return runRunbook({ title: 'Provision a server' }, async (runbook) => {
    runbook.outline(STEPS);
    const [
      check,
      read,
      checkHosts,
      claim,
      startLeaders,
      lead,
      startFollowers,
      follow,
      wait,
      prove,
      publish,
      release,
    ] = STEPS;

    const { fleet, request } = await runbook.step({
      ...check,
      preflight: true,
      run: () => local().checkRequest({ type: 'provisionServer', request: input }),
    });

    const { server, fresh, leftAlone } = await runbook.step({
      ...read,
      preflight: true,
      run: async () => {
        const found = await control(`read ${request.server}`).readServer({ server: request.server });
        const records = await control('read the records').readRecords({
          databases: found.databases.map(({ name }) => name),
        });
        const isNew = (_: Database, index: number): boolean => isUnestablished(records[index] ?? null);
        return {
          server: found,
          fresh: found.databases.filter(isNew),
          leftAlone: found.databases
            .filter((database, index) => !isNew(database, index))
            .map(({ name }) => name),
        };
      },
    });
    const [leaderHost, followerHost] = server.hosts;
    const pairs = fresh.map((database) => pairOf(database, leaderHost, followerHost));
    const databases = pairs.map(({ database }) => database);
    runbook.subject({
      fleet,
      servers: [server.name],
      databases,
      hosts: [leaderHost.name, followerHost.name],
      ...(request.approved === undefined ? {} : { approved: request.approved }),
    });
    if (leftAlone.length > 0) {
      runbook.note(`Left alone, because they have a leader: ${leftAlone.join(', ')}.`);
    }

    await runbook.step({
      ...checkHosts,
      preflight: true,
      run: () =>
        Promise.all(
          [leaderHost, followerHost].map((host) =>
            onHost(host.name, `check ${host.name}`).checkHost({
              processes: pairs.map(({ process }) => process),
            }),
          ),
        ),
    });

    await runbook.step({
      ...claim,
      preflight: true,
      undo: {
        does: 'Removes the new records.',
        always: true,
        run: () => control('remove the new records').removeNewRecords({ databases }),
      },
      run: () =>
        control('create the records').createRecords({
          records: pairs.map(({ database, leader }) => ({ database, server: server.name, leader })),
          urgency: 'planned',
        }),
    });
    runbook.guard(() => local().confirmOwnership({ databases }));

    await runbook.step({
      ...startLeaders,
      undo: { does: 'Stops and removes the new leaders.', run: () => remove(leaderHost, databases) },
      run: () => start(leaderHost, pairs),
    });

    const leaders = await runbook.step({
      ...lead,
      run: () => Promise.all(pairs.map(makeLeader)),
    });

    await runbook.step({
      ...startFollowers,
      undo: { does: 'Stops and removes the new followers.', run: () => remove(followerHost, databases) },
      run: async () => {
        await Promise.all(
          leaders.map(({ database, position }) =>
            onHost(followerHost.name, `seed ${database}`).placeSeed({ database, position }),
          ),
        );
        await start(followerHost, pairs);
      },
    });

    await runbook.step({
      ...follow,
      run: () =>
        Promise.all(
          leaders.map(({ database, follower, baseline }) =>
            control(`${database} follows`).follow({
              follower,
              leader: baseline,
              deadlineMs: FOLLOW_DEADLINE_MS,
            }),
          ),
        ),
    });

    await runbook.step({
      ...wait,
      run: () =>
        Promise.all(
          leaders.map(({ database, follower, baseline }) =>
            control(`${database} catches up`).awaitCaughtUp({
              leader: baseline,
              follower,
              deadlineMs: CATCH_UP_DEADLINE_MS,
            }),
          ),
        ),
    });

    const leaderForks = await runbook.step({
      ...prove,
      run: async () => {
        const proofs = await Promise.all(
          leaders.map(({ database, baseline }) =>
            control(`${database}: forks`).proveForks({
              baseline: { ...baseline, totalForks: 0 },
              allowed: 0,
            }),
          ),
        );
        return proofs.reduce((sum, { forks }) => sum + forks, 0);
      },
    });

    // From here on applications may write to the leaders: nothing before this step is undone any more.
    await runbook.step({
      ...publish,
      settles: true,
      run: () =>
        control('publish the records').establishRecords({
          records: pairs.map(({ database, leader, follower }) => ({ database, leader, follower })),
        }),
    });

    await runbook.step({
      ...release,
      run: () => control('release the databases').releaseDatabases({ databases }),
    });

    return { server: server.name, provisioned: databases, leftAlone, leaderForks };
  });
}

interface Pair {
  readonly database: string;
  readonly process: ProcessSpec;
  readonly leader: Endpoint;
  readonly follower: Endpoint;
}

interface LedPair extends Pair {
  readonly baseline: ForkBaseline;
  readonly position: ReplicationPosition;
}

function isUnestablished(record: DatabaseRecord | null): boolean {
  return record === null || record.epoch === 0;
}

function pairOf({ name, port, maxmemory }: Database, leaderHost: Host, followerHost: Host): Pair {
  return {
    database: name,
    process: { database: name, port, maxmemory, backlogBytes: configuredBacklog(maxmemory) },
    leader: { host: leaderHost.name, address: leaderHost.address, port },
    follower: { host: followerHost.name, address: followerHost.address, port },
  };
}

async function start(host: Host, pairs: readonly Pair[]): Promise<void> {
  await Promise.all(
    pairs.map(({ database, process }) =>
      onHost(host.name, `start ${database}`).startProcess({ process, allowEmpty: true }),
    ),
  );
}

/** Leaves what the record has published meanwhile: applications may have written to it. */
async function remove(host: Host, databases: readonly string[]): Promise<void> {
  const records = await control('read the records').readRecords({ databases });
  const unpublished = databases.filter((_, index) => isUnestablished(records[index] ?? null));
  await Promise.all(
    unpublished.map(async (database) => {
      await onHost(host.name, `stop ${database}`).stopProcess({ database, save: false });
      await onHost(host.name, `remove ${database}`).removeProcess({ database });
    }),
  );
}

async function makeLeader(pair: Pair): Promise<LedPair> {
  const { database, leader, process } = pair;
  await control(`${database} leads`).makeFirstLeader({ endpoint: leader });
  const position = await control(`${database}: backlog`).ensureBacklog({
    leader,
    bytes: process.backlogBytes,
  });
  const { runId, totalForks } = await control(`look at ${database}`).inspect({ endpoint: leader });
  return { ...pair, position, baseline: { endpoint: leader, runId, totalForks } };
}
