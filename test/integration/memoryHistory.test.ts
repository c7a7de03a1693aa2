/** How the memory of a host went is kept in Consul, and survives the restart of the agent that saw it. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MemoryHistory } from '../../src/fleet/relocation/state.js';
import { memoryStore, type MemoryStore } from '../../src/records/memory.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { loadData } from '../../src/testbed/load.js';
import { waitFor } from '../../src/testbed/waiting.js';

let fleet: TestFleet;
let store: MemoryStore;

beforeAll(async () => {
  fleet = await startTestFleet({ servers: 1, databasesPerServer: 1, name: 'remembering' });
  store = memoryStore(fleet.dev.consul, 'remembering');
});
afterAll(async () => {
  await fleet.stop();
});

function until(
  host: string,
  what: string,
  isSo: (history: MemoryHistory) => boolean,
): Promise<MemoryHistory> {
  return waitFor(
    async () => {
      const history = await store.read(host);
      return history !== null && isSo(history) ? history : null;
    },
    { deadlineMs: 90_000, everyMs: 250, what },
  );
}

test('an agent that starts again goes on where the one before it was killed', async () => {
  const [database = ''] = fleet.databases;
  const [leader, follower] = [await fleet.leader(database), await fleet.follower(database)];
  await loadData({ ...fleet.application, where: leader, megabytes: 2, seed: 1 });
  await fleet.save(database, follower);
  const seen = await until(follower.host, 'a fork that was seen', ({ forks }) => forks.length > 0);
  expect(seen.forks).toMatchObject([{ database, port: follower.port }]);
  expect(seen.cores).toBeGreaterThan(0);
  expect(seen.samples.at(-1)?.processes).toMatchObject([{ database, role: 'follower' }]);

  await fleet.dev.kill(`agent:${follower.host}`);
  const newest = seen.samples.at(-1)?.at ?? 0;
  const later = await until(follower.host, 'samples after the restart', ({ samples }) =>
    samples.some(({ at }) => at > newest),
  );
  expect(later.forks).toEqual(seen.forks);
  expect(later.samples.some(({ at }) => at <= newest)).toBe(true);
  expect((await store.list()).map(({ host }) => host).sort()).toEqual([leader.host, follower.host].sort());
});
