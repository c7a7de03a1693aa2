/**
 * Hands databases over from leaders that are well to their followers. Writes wait for some milliseconds each, none that
 * was acknowledged is lost, nobody forks. Several at a time; one that cannot be handed over leaves the others alone.
 */

import type { HandedOver } from '../activities/switchoverContract.js';
import { showEndpoint, type DatabaseRecord } from '../fleet/record.js';
import type { SwitchoverRequest } from '../fleet/requests.js';
import type { RunbookResult } from '../fleet/runbook.js';
import type { SwitchoverPlan } from '../fleet/switchover.js';
import { control, local } from './engine/activityOptions.js';
import { failureKind, failureMessage, refusal } from './engine/failures.js';
import { runRunbook, type Runbook } from './engine/runbook.js';
import { handOverOne, settleOne, type Order } from './switchoverOne.js';
import { inLanes } from './lanes.js';

export interface SwitchedOver {
  /** Only said, not done: what would be handed over, and what not. */
  readonly dryRun: boolean;
  readonly plans: readonly SwitchoverPlan[];
  /** In the order of the request. */
  readonly handedOver: readonly HandedOver[];
}

const CHECK = { name: 'check the request', does: 'Validates the argument.' };
const LOOK = {
  name: 'look at both sides',
  does: 'Asks each leader and its follower whether the follower may take over.',
};
const CLAIM = { name: 'claim the databases', does: 'No other runbook may change them meanwhile.' };
const AGAIN = { name: 'look again', does: 'Nothing may have changed before the databases were claimed.' };
const HAND_OVER = {
  name: 'hand over',
  does: 'Pauses writes, waits for equal offsets, demotes the leader, promotes the follower, sets the record.',
};
const LET_GO = {
  name: 'let clients go',
  does: "Closes the applications' connections to the old leaders: they come back at the new ones.",
};
const RESYNCHRONISE = {
  name: 'resynchronise',
  does: 'The old leaders follow the new ones, by partial synchronisation, and nobody forked.',
};
const REPOINT = {
  name: 'point further followers',
  does: 'Further followers follow the new leaders, where that needs no full synchronisation.',
};
const RELEASE = { name: 'release the databases', does: 'Other runbooks may work on them.' };
const ACCOUNT = { name: 'say what was not done', does: 'Names every database that was not handed over.' };

/** So few that each pause stays short. */
const AT_ONCE = 4;
const FOLLOWED_BY_MS = 20_000;

/** Something that did not come about, for one database. */
interface Miss {
  readonly database: string;
  readonly kind: string | null;
  readonly why: string;
}

export async function switchover(input: SwitchoverRequest): Promise<RunbookResult<SwitchedOver>> {
  return runRunbook({ title: 'Switch over' }, async (runbook) => {
    runbook.outline([CHECK, LOOK, CLAIM, AGAIN, HAND_OVER, LET_GO, RESYNCHRONISE, RELEASE]);
    const { fleet, request } = await runbook.step({
      ...CHECK,
      preflight: true,
      run: () => local().checkRequest({ type: 'switchover', request: input }),
    });
    const plans = await runbook.step({
      ...LOOK,
      preflight: true,
      run: async () => {
        const seen = await local('look at both sides').planSwitchover({ request });
        if (request.dryRun !== true) requireSome(seen, request.expectedLeader);
        return seen;
      },
    });
    tellSubject(runbook, fleet, request, plans);
    if (request.dryRun === true) {
      runbook.outline([]);
      for (const plan of plans) runbook.note(planned(plan));
      return { dryRun: true, plans, handedOver: [] };
    }

    const misses: Miss[] = plans.flatMap(missed);
    const fit = plans.filter(({ verdict }) => verdict.may).map(({ database }) => database);
    await runbook.step({
      ...CLAIM,
      preflight: true,
      undo: {
        does: 'Releases the databases.',
        always: true,
        run: () => local('release').releaseDatabases({ databases: fit }),
      },
      run: () => local('claim').claimDatabases({ databases: fit, urgency: 'planned' }),
    });

    const owned = await runbook.step({
      ...AGAIN,
      preflight: true,
      run: async () => {
        const { expectedLeader } = request;
        // Not a local activity: what is handed over must be in the history before it is. Else a worker that is killed
        // right after the hand-over would plan it again, the other way round.
        const seen = await control('look again').planSwitchover({
          request: { databases: fit, ...(expectedLeader === undefined ? {} : { expectedLeader }) },
        });
        requireSome(seen, expectedLeader);
        return seen;
      },
    });
    misses.push(...owned.flatMap(missed));
    const orders = owned.flatMap(orderOf);

    const handedOver = await handOverAll(runbook, orders, misses);
    for (const { database, from, to, record, pausedMs } of handedOver) {
      const paused = pausedMs === null ? '' : ` Writes waited for ${pausedMs.toFixed(1)} ms.`;
      runbook.note(`${database}: ${from.host} → ${to.host}, epoch ${record.epoch}.${paused}`);
    }
    if (handedOver.length > 0) {
      await runbook.step({ ...LET_GO, run: () => letGo(runbook, handedOver) });
      await runbook.step({ ...RESYNCHRONISE, run: () => resynchronise(orders, handedOver, misses) });
    }
    if (handedOver.some(({ record }) => (record.extraFollowers ?? []).length > 0)) {
      await runbook.step({ ...REPOINT, run: () => repoint(runbook, handedOver) });
    }
    await runbook.step({
      ...RELEASE,
      run: () => local('release').releaseDatabases({ databases: fit }),
    });
    if (misses.length > 0) {
      await runbook.step({ ...ACCOUNT, preflight: true, run: () => sayMisses(handedOver, misses) });
    }
    return { dryRun: false, plans: owned, handedOver };
  });
}

/** @throws HandOverUndone when nothing can be done, or the caller believes in another leader */
function requireSome(plans: readonly SwitchoverPlan[], expectedLeader: string | undefined): void {
  const wrong = plans.filter(
    ({ record }) => expectedLeader !== undefined && record.leader.host !== expectedLeader,
  );
  const refused = wrong.length > 0 ? wrong : plans.every(({ verdict }) => !verdict.may) ? plans : [];
  if (refused.length > 0) throw refusal('HandOverUndone', sentences(refused.flatMap(missed)));
}

function tellSubject(
  runbook: Runbook,
  fleet: string,
  { approved }: SwitchoverRequest,
  plans: readonly SwitchoverPlan[],
): void {
  const records = plans.map(({ record }) => record);
  runbook.subject({
    fleet,
    servers: [...new Set(records.map(({ server }) => server))],
    databases: plans.map(({ database }) => database),
    hosts: [...new Set(records.flatMap(hostsOf))],
    ...(approved === undefined ? {} : { approved }),
  });
}

function hostsOf({ leader, follower }: DatabaseRecord): string[] {
  return follower === null ? [leader.host] : [leader.host, follower.host];
}

function planned({ database, record, verdict }: SwitchoverPlan): string {
  if (!verdict.may) return `${database} would not be handed over: ${verdict.why}`;
  const to = record.follower === null ? '?' : showEndpoint(record.follower);
  return `${database} would be handed over from ${showEndpoint(record.leader)} to ${to}.`;
}

function missed({ database, verdict }: SwitchoverPlan): Miss[] {
  return verdict.may ? [] : [{ database, kind: 'HandOverUndone', why: verdict.why }];
}

function orderOf({ database, record, verdict, forks }: SwitchoverPlan): Order[] {
  if (!verdict.may || record.follower === null || forks === null) return [];
  return [{ database, epoch: record.epoch, from: record.leader, to: record.follower, forks }];
}

/** Done is done: a second attempt of the step only takes up what is left. */
async function handOverAll(
  runbook: Runbook,
  orders: readonly Order[],
  misses: Miss[],
): Promise<readonly HandedOver[]> {
  const done = new Map<string, HandedOver>();
  const refused = new Map<string, Miss>();
  await runbook.step({
    ...HAND_OVER,
    settles: true,
    undo: {
      does: 'Finishes what leads already, and gives writes back to the old leader where nobody does.',
      run: () => inLanes(AT_ONCE, orders, settleOne),
    },
    run: async () => {
      let problem: unknown = null;
      await inLanes(AT_ONCE, orders, async (order) => {
        const { database } = order;
        if (done.has(database)) return;
        try {
          done.set(database, await handOverOne(order));
          refused.delete(database);
        } catch (error) {
          if (!leavesWritesOn(error)) problem ??= error;
          else refused.set(database, { database, kind: failureKind(error), why: failureMessage(error) });
          if (orders.length === 1) problem ??= failureKind(error) === 'OwnershipLost' ? error : null;
        }
      });
      if (problem !== null) throw problem as Error;
    },
  });
  misses.push(...refused.values());
  return orders.flatMap(({ database }) => done.get(database) ?? []);
}

/** A refusal after which the runbook may end: the others are not held up. With anything else a person must help. */
function leavesWritesOn(error: unknown): boolean {
  const kind = failureKind(error);
  return kind !== null && ['HandOverUndone', 'LeaderUnfit', 'OwnershipLost', 'RecordChanged'].includes(kind);
}

async function letGo(runbook: Runbook, handedOver: readonly HandedOver[]): Promise<void> {
  await inLanes(AT_ONCE, handedOver, async ({ database, from }) => {
    try {
      const bounds = { scheduleToCloseTimeout: '20 seconds' } as const;
      await control(`clients of ${database}`, bounds).letGoOfClients({ endpoint: from });
    } catch (error) {
      // They read READONLY and go by themselves.
      runbook.note(`${database}: the connections to ${from.host} were not closed: ${failureMessage(error)}`);
    }
  });
}

async function resynchronise(
  orders: readonly Order[],
  handedOver: readonly HandedOver[],
  misses: Miss[],
): Promise<void> {
  await inLanes(AT_ONCE, handedOver, async ({ database, from, to }) => {
    const forks = orders.find((order) => order.database === database)?.forks;
    if (forks === undefined) return;
    try {
      await control(`${database} follows`, {
        scheduleToCloseTimeout: 2 * FOLLOWED_BY_MS,
        retry: { initialInterval: 500, maximumAttempts: 3 },
      }).awaitResynchronised({
        database,
        leader: to,
        follower: from,
        forksBefore: { leader: forks.follower, follower: forks.leader },
        deadlineMs: FOLLOWED_BY_MS,
      });
    } catch (error) {
      // The way out is a bring-up, and that needs the database to be free.
      misses.push({ database, kind: failureKind(error), why: failureMessage(error) });
    }
  });
}

async function repoint(runbook: Runbook, handedOver: readonly HandedOver[]): Promise<void> {
  const pairs = handedOver.flatMap(({ database, to, record }) =>
    (record.extraFollowers ?? []).map((follower) => ({ database, to, follower })),
  );
  await inLanes(AT_ONCE, pairs, async ({ database, to, follower }) => {
    try {
      await local().confirmOwnership({ databases: [database] });
      const { runId, totalForks } = await control(`leader of ${database}`).inspect({ endpoint: to });
      await control(`point ${follower.host} at ${to.host}`, {
        scheduleToCloseTimeout: 2 * FOLLOWED_BY_MS,
        retry: { initialInterval: 500, maximumAttempts: 3 },
      }).follow({ follower, leader: { endpoint: to, runId, totalForks }, deadlineMs: FOLLOWED_BY_MS });
    } catch (error) {
      runbook.note(
        `${database}: the further follower ${showEndpoint(follower)} goes on following the old leader: ${failureMessage(error)}`,
      );
    }
  });
}

function sayMisses(handedOver: readonly HandedOver[], misses: readonly Miss[]): Promise<never> {
  const kind = misses[0]?.kind === 'LeaderForked' ? 'LeaderForked' : 'HandOverUndone';
  const done =
    handedOver.length === 0
      ? ''
      : `Handed over: ${handedOver.map(({ database }) => database).join(', ')}. Not well: `;
  return Promise.reject(refusal(kind, `${done}${sentences(misses)}`));
}

function sentences(misses: readonly Miss[]): string {
  return misses.map(({ why }) => why).join(' ');
}
