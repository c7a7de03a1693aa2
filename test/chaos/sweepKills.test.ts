/**
 * The agent is killed at any moment of a sweep, thirty times: every sweep ends with all databases verified, nothing is
 * half-visible in the store, no leader forks, and what a crash left on the host is gone after the next sweep.
 */

import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inventory } from '../../src/backups/inventory.js';
import { NO_KEYS } from '../../src/backups/keyring.js';
import { verifyBackup } from '../../src/backups/verifyBackup.js';
import { startRunbook } from '../../src/connections/startRunbook.js';
import { runbookEnd } from '../../src/cli/runbookState.js';
import { backupStoreOf } from '../../src/testbed/backups.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { forksBetween, leaderForks } from '../../src/testbed/forks.js';
import { loadData } from '../../src/testbed/load.js';
import { SeededRandom } from '../../src/testbed/random.js';
import { pause } from '../../src/testbed/waiting.js';
import type { Sweep } from '../../src/workflows/backupSweep.js';

const KILLS = 30;
const DATABASES = 6;
/** Of an agent, of which it needs one to start: it is killed while it starts as well. */
const LONGEST_LIFE_MS = 5_000;

let fleet: TestFleet;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: DATABASES });
  let seed = 1;
  for (const database of fleet.databases) {
    const where = await fleet.leader(database);
    await loadData({ ...fleet.application, where, megabytes: 4, seed: seed++ });
  }
}, 90_000);

afterAll(async () => {
  await fleet.stop();
});

/** What a backup may leave beside a process. */
function orphans(host: string): string[] {
  return readdirSync(fleet.dev.data.host(host), { recursive: true })
    .map(String)
    .filter((name) => /backup\.json|\.rdb\.backup|temp-.*\.rdb/.test(name));
}

async function sweep(host: string) {
  const subject = { fleet: fleet.dev.fleet.name, hosts: [host] };
  return startRunbook(fleet.dev.temporal, 'backupSweep', host, { host }, subject);
}

async function swept(run: Awaited<ReturnType<typeof sweep>>): Promise<Sweep> {
  const end = await runbookEnd(fleet.dev.temporal, run);
  if (end.how !== 'well') throw new Error(`The sweep failed: ${end.problem}`);
  return end.result as Sweep;
}

test('thirty kills at random cost no backup', { timeout: 300_000 }, async () => {
  const { host } = await fleet.follower('sessions-00');
  const agent = `agent:${host}` as const;
  const random = new SeededRandom(20_261_123);
  const before = await leaderForks(fleet);
  let kills = 0;
  let sweeps = 0;
  const starts: Promise<void>[] = [];
  while (kills < KILLS) {
    const run = await sweep(host);
    sweeps += 1;
    let ended = false;
    const result = swept(run).finally(() => (ended = true));
    // An end that is a failure is told below.
    result.catch(() => undefined);
    const isOver = (): boolean => ended;
    while (!isOver() && kills < KILLS) {
      await pause(random.between(0, LONGEST_LIFE_MS));
      if (isOver()) break;
      await fleet.dev.hold(agent);
      kills += 1;
      starts.push(fleet.dev.release(agent));
    }
    const { databases, verified } = await result;
    expect(verified, JSON.stringify(databases)).toBe(DATABASES);
  }
  await Promise.all(starts);
  // A last one, which nobody disturbs, tidies up what the kills left.
  expect((await swept(await sweep(host))).verified).toBe(DATABASES);
  expect(orphans(host)).toEqual([]);
  expect(forksBetween(before, await leaderForks(fleet))).toEqual({ forks: 0, notComparable: [] });

  const store = backupStoreOf(fleet);
  const { backups, strangers } = await inventory(store, fleet.dev.fleet.name, null);
  expect(strangers).toEqual([]);
  for (const { database, id, manifest, data } of backups) {
    expect({ id, complete: manifest !== null && data.length === 1 }).toEqual({ id, complete: true });
    const ref = { fleet: fleet.dev.fleet.name, database, id };
    expect(await verifyBackup(store, ref, { keyring: NO_KEYS })).toMatchObject({ kind: 'sound' });
  }
  process.stdout.write(`${String(kills)} kills in ${String(sweeps)} sweeps\n`);
});
