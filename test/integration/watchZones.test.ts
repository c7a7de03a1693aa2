import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LEASE_MARGIN } from '../../src/fleet/lease.js';
import { startZonedFleet, type ZonedFleet } from '../../src/testbed/zonedFleet.js';
import { zonesPossible } from '../../src/testbed/zones.js';
import { SECOND } from './bringUpStage.js';
import { promotionStarted, tell, untilPromoted, untilSeen, whileNothingIsDone, why } from './watchStage.js';

const impossible = zonesPossible();
const TTL = 1_500;
const DOWN_AFTER = SECOND;

/** A zone is a network namespace: cut off, what is inside goes on, and nobody gets a refusal. */
describe.skipIf(impossible !== null)(
  `a watch in zones${impossible === null ? '' : ` (skipped: ${impossible})`}`,
  () => {
    let fleet: ZonedFleet;

    beforeAll(async () => {
      fleet = await startZonedFleet({
        servers: 1,
        databasesPerServer: 2,
        maxmemory: '16MiB',
        policy: 'automatic',
        leaseTtl: `${String(TTL)}ms`,
      });
      for (const database of fleet.databases) {
        await untilSeen(fleet, database, 'well', ({ sightings }) => sightings.fromFollowerHost === 'up');
      }
    }, 120_000);
    afterAll(() => fleet.stop());

    it("does nothing when the follower's zone is cut off", async () => {
      const before = await fleet.record('sessions-00');
      await fleet.zones.cut('az-b');
      await untilSeen(fleet, 'sessions-00', 'well', ({ sightings }) => sightings.followerLink === null);
      await whileNothingIsDone(fleet, before, 2 * TTL);
      expect((await why(fleet, 'sessions-00')).code).toBe(0);
      await fleet.zones.heal('az-b');
      await untilSeen(fleet, 'sessions-00', 'well', ({ sightings }) => sightings.followerLink?.up === true);
    });

    it("waits out the lease of a leader's zone that is cut off while it makes sure, and promotes both at once", async () => {
      const before = await Promise.all(fleet.databases.map((database) => fleet.record(database)));
      await fleet.zones.cut('az-a');
      const cutAt = Date.now();
      const promoted = await Promise.all(before.map((record) => untilPromoted(fleet, record)));
      const { at } = await promotionStarted(fleet, 'redis-01-a');
      const changed = Math.max(...promoted.map(({ ms }) => ms));
      tell(
        `zone cut → promoteFollower started: ${String(at - cutAt)} ms, records changed: ${changed.toFixed(0)} ms ` +
          `(downAfter ${String(DOWN_AFTER)}, ttl ${String(TTL)} + ${String(LEASE_MARGIN)})`,
      );
      expect(at - cutAt).toBeGreaterThan(TTL / 2);
      // Not the sum of both waits.
      expect(at - cutAt).toBeLessThan(TTL + LEASE_MARGIN + DOWN_AFTER);
      expect(new Set(promoted.map(({ record }) => record.promotion?.by))).toEqual(
        new Set(['promoteFollower/redis-01-a']),
      );
    });
  },
);
