/** A large fleet that nobody has to run: what the planner of relocations would see of it. The same for the same seed. */

import type { DatabaseState, HostState, RelocationState } from '../fleet/relocation/state.js';
import { SeededRandom } from './random.js';

const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

export interface LargeFleet {
  /** Pairs of hosts. */
  readonly servers: number;
  readonly databasesEach: number;
  /** Servers whose hosts are nearly full, while their leaders grow. */
  readonly inTrouble: number;
  readonly seed: number;
}

export function largeFleet({ servers, databasesEach, inTrouble, seed }: LargeFleet): RelocationState {
  const generator = new SeededRandom(seed);
  const random = (): number => generator.next();
  const hosts: HostState[] = [];
  const databases: DatabaseState[] = [];
  for (let index = 0; index < servers; index += 1) {
    const server = `redis-${String(index + 1).padStart(4, '0')}`;
    const trouble = index < inTrouble;
    const sizes = Array.from({ length: databasesEach }, () => Math.round((0.2 + 1.8 * random()) * GiB));
    const used = sizes.reduce((sum, size) => sum + size, 0);
    const total = used / (trouble ? 0.86 + 0.05 * random() : 0.5 + 0.3 * random());
    const zones = [index % 3, (index + 1) % 3];
    const names = zones.map((zone, side) => ({
      host: `${server}-${side === 0 ? 'a' : 'b'}`,
      zone: `az-${String(zone)}`,
      address: `10.${String(index >> 8)}.${String(index % 256)}.${String(side + 1)}`,
    }));
    for (const { host, zone, address } of names) {
      hosts.push({
        name: host,
        zone,
        address,
        server,
        closed: index % 50 === 49 ? 'in maintenance' : null,
        memory: { total, available: total - used, limitedBy: 'machine' },
        cores: 16,
        takenPorts: sizes.map((_, n) => 6_300 + n),
        otherGrowth: { low: 0, expected: 0, high: 0 },
      });
    }
    sizes.forEach((usedMemory, n) => {
      const port = 6_300 + n;
      const [leader, follower] = names.map(({ host, address }) => ({ host, address, port }));
      if (leader === undefined || follower === undefined) return;
      const rate = trouble && n % 4 === 0 ? 0.3 * MiB : 0.002 * MiB;
      const name = `${server}/database-${String(n).padStart(2, '0')}`;
      databases.push({
        name,
        server,
        leader,
        follower,
        extraFollowers: [],
        usedMemory,
        residentMemory: usedMemory,
        maxmemory: 2 * usedMemory,
        growth: { low: 0.8 * rate, expected: rate, high: 1.2 * rate },
        writeRate: 2 * rate,
        forks: [
          {
            database: name,
            port,
            at: 0,
            seconds: 10,
            copyOnWrite: 0.03 * usedMemory,
            usedMemory,
            writeRate: 2 * rate,
          },
        ],
        busy: null,
      });
    });
  }
  return { hosts, databases };
}
