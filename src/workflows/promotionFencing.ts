/** Makes sure that old leaders take no more writes: by their agents, over the network, or by their hosts' leases. */

import { CancellationScope } from '@temporalio/workflow';
import type { Fencing, PromotionCase } from '../fleet/promotion.js';
import type { Endpoint } from '../fleet/record.js';
import { control, onHost } from './engine/activityOptions.js';
import type { Bounds } from './engine/activityOptions.js';

/** An agent that does not take it at once is as good as gone; one that does gets time for a command and a kill. */
const BY_AGENT: Bounds = {
  scheduleToStartTimeout: 2_000,
  startToCloseTimeout: 5_000,
  scheduleToCloseTimeout: 8_000,
  retry: { initialInterval: 100, maximumAttempts: 2 },
};
const OBEY_WITHIN_MS = 200;
const OVER_NETWORK: Bounds = {
  startToCloseTimeout: 5_000,
  scheduleToCloseTimeout: 10_000,
  retry: { initialInterval: 100, maximumAttempts: 2 },
};
const BY_LEASE: Bounds = {
  startToCloseTimeout: '5 minutes',
  scheduleToCloseTimeout: '10 minutes',
  retry: { initialInterval: 200, maximumAttempts: 3 },
};

type Means = () => Promise<Fencing>;

/** All at once. By database; null: nobody could. What needs no fence keeps the one it has. */
export async function fenceAll(
  cases: readonly PromotionCase[],
): Promise<ReadonlyMap<string, Fencing | null>> {
  const scope = new CancellationScope();
  const leases = new Map<string, Promise<Fencing>>();
  // One wait for each host, whose end all its databases share.
  const byLease =
    ({ leader: { host }, database }: PromotionCase): Means =>
    () => {
      const waiting = leases.get(host) ?? breakLease(host, `the leader of ${database} does not answer`);
      leases.set(host, waiting);
      return waiting;
    };
  try {
    return await scope.run(
      async () =>
        new Map(
          await Promise.all(
            cases.map(async (found): Promise<[string, Fencing | null]> => [
              found.database,
              found.fencing ?? (await firstOf(meansFor(found, byLease(found)))),
            ]),
          ),
        ),
    );
  } finally {
    // What came second is not waited for.
    scope.cancel();
  }
}

function meansFor(found: PromotionCase, byLease: Means): readonly Means[] {
  const byAgent = (): Promise<Fencing> => fenceByAgent(found);
  const byNetwork = (): Promise<Fencing> => fenceOverNetwork(found.database, found.leader);
  if (found.verdict.state !== 'failed') return [];
  switch (found.verdict.fence) {
    case 'agent':
      return [() => byAgent().catch(byNetwork), byLease];
    case 'network':
      return [byNetwork, byLease];
    case 'lease':
      // Renewed after all: its agent lives.
      return [() => byLease().catch(byAgent)];
    case 'none':
    case 'impossible':
      return [];
  }
}

async function firstOf(means: readonly Means[]): Promise<Fencing | null> {
  try {
    return await Promise.any(means.map((fence) => fence()));
  } catch {
    return null;
  }
}

async function fenceByAgent({ database, leader }: PromotionCase): Promise<Fencing> {
  return onHost(leader.host, `fence ${database}`, BY_AGENT).fenceProcess({
    database,
    endpoint: leader,
    obeyWithinMs: OBEY_WITHIN_MS,
  });
}

/** Without its agent. @throws NotFenced: it does not answer */
export async function fenceOverNetwork(database: string, endpoint: Endpoint): Promise<Fencing> {
  return control(`fence ${database} over the network`, OVER_NETWORK).fenceOverNetwork({ database, endpoint });
}

/** Nobody on the host leads any more when it returns. @throws NotFenced: its agent renewed it */
export async function breakLease(host: string, why: string): Promise<Fencing> {
  await control(`wait out the lease of ${host}`, BY_LEASE).breakLease({ host, why });
  return 'lease';
}
