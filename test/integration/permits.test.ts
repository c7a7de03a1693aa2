import { CancelledFailure } from '@temporalio/common';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { consulKeys } from '../../src/fleet/names.js';
import { put } from '../../src/records/kv.js';
import { permitStore } from '../../src/records/permits.js';
import type { PermitStore } from '../../src/records/permits.js';
import { startTestConsul } from '../../src/testbed/consul.js';
import type { TestConsul } from '../../src/testbed/consul.js';
import { startTestTemporal } from '../../src/testbed/temporal.js';
import type { TestTemporal } from '../../src/testbed/temporal.js';
import { startCaller } from './caller.js';
import type { Caller, Stage } from './caller.js';

const HOST = 'redis-01-b';

let consul: TestConsul;
let temporal: TestTemporal;
let stage: Stage;
let permits: PermitStore;
let fleets = 0;

beforeAll(async () => {
  [consul, temporal] = await Promise.all([startTestConsul(), startTestTemporal()]);
});
afterAll(async () => {
  await Promise.all([consul.stop(), temporal.stop()]);
});
beforeEach(() => {
  fleets += 1;
  stage = { consul: consul.consul, client: temporal.client, fleet: `fleet-${fleets}` };
  permits = permitStore(consul.consul, stage.fleet);
});

function acquires(caller: Caller, waitMs: number, host = HOST): Promise<void> {
  return caller.activities.acquireForkPermit({
    host,
    database: 'sessions-00',
    reason: 'full synchronisation',
    waitMs,
  });
}

async function holder(): Promise<string | null> {
  return (await permits.read(HOST))?.permit.operation.workflowId ?? null;
}

describe('a host forks for one runbook at a time', () => {
  test('of ten that ask at once, one gets the permit and the others are told who has it and why', async () => {
    const callers = await Promise.all(Array.from({ length: 10 }, () => startCaller(stage)));
    const results = await Promise.allSettled(callers.map((caller) => acquires(caller, 0)));
    const winners = callers
      .filter((_, at) => results[at]?.status === 'fulfilled')
      .map(({ workflowId }) => workflowId);
    expect(winners).toEqual([await holder()]);
    for (const result of results) {
      if (result.status === 'fulfilled') continue;
      expect(result.reason).toMatchObject({ type: 'PermitHeld' });
      expect(String(result.reason)).toMatch(
        new RegExp(
          `fork permit of host ${HOST} belongs to ${winners[0] ?? ''} .*full synchronisation.*runbook show`,
        ),
      );
    }
  });

  test('ten that wait get it one after the other, and never two at once', async () => {
    const callers = await Promise.all(Array.from({ length: 10 }, () => startCaller(stage)));
    let inside = 0;
    let most = 0;
    await Promise.all(
      callers.map(async (caller) => {
        await acquires(caller, 60_000);
        inside += 1;
        most = Math.max(most, inside);
        expect(await holder()).toBe(caller.workflowId);
        inside -= 1;
        await caller.activities.releaseForkPermit({ host: HOST });
      }),
    );
    expect(most).toBe(1);
    expect(await holder()).toBeNull();
  });

  test('two hosts fork at once', async () => {
    const [one, two] = [await startCaller(stage), await startCaller(stage)];
    await acquires(one, 0);
    await acquires(two, 0, 'redis-02-b');
    expect((await permits.list()).map(({ permit }) => permit.host)).toEqual([HOST, 'redis-02-b']);
  });

  test('asked again after a lost answer, the holder still has it, and gives it back once', async () => {
    const caller = await startCaller(stage);
    await acquires(caller, 0);
    await acquires(caller, 0);
    await caller.activities.releaseForkPermit({ host: HOST });
    await caller.activities.releaseForkPermit({ host: HOST });
    expect(await holder()).toBeNull();
  });

  test('a runbook that died loses it to whoever waits', async () => {
    const [dead, heir] = [await startCaller(stage), await startCaller(stage)];
    await acquires(dead, 0);
    const waiting = acquires(heir, 60_000);
    await dead.die();
    await waiting;
    expect(await holder()).toBe(heir.workflowId);
  });

  test('nobody gives back the permit of another', async () => {
    const [owner, other] = [await startCaller(stage), await startCaller(stage)];
    await acquires(owner, 0);
    await other.activities.releaseForkPermit({ host: HOST });
    expect(await holder()).toBe(owner.workflowId);
  });

  test('a cancelled runbook stops waiting, and takes nothing', async () => {
    const [owner, waiting] = [await startCaller(stage), await startCaller(stage)];
    await acquires(owner, 0);
    const wait = acquires(waiting, 60_000);
    waiting.cancel();
    await expect(wait).rejects.toBeInstanceOf(CancelledFailure);
    expect(await holder()).toBe(owner.workflowId);
  });

  test('a permit edited into nonsense is refused in words, and never taken for a free one', async () => {
    const key = consulKeys(stage.fleet).permit(HOST);
    await put(consul.consul, key, { host: HOST, database: 7 });
    await expect(acquires(await startCaller(stage), 0)).rejects.toMatchObject({
      type: 'InvalidRecord',
      message: expect.stringContaining(`consul kv get ${key}`) as string,
    });
    expect(await permits.list()).toEqual([]);
  });
});
