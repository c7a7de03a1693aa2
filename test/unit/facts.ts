/** Facts to start a story from: a healthy leader and what stands around it. */

import type { DataFile, HostMemory, ProcessFacts } from '../../src/fleet/facts.js';
import type { BringUpFacts, ChainSource } from '../../src/fleet/bringUp.js';
import type { Endpoint } from '../../src/fleet/record.js';

export const MiB = 1024 * 1024;
export const ID = 'a'.repeat(40);
export const OLD_ID = 'b'.repeat(40);
export const FOREIGN_ID = 'c'.repeat(40);

export const leaderEndpoint: Endpoint = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
export const followerEndpoint: Endpoint = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };
export const thirdEndpoint: Endpoint = { host: 'redis-02-b', address: '127.0.2.2', port: 6300 };

export const roomy: HostMemory = { total: 4096 * MiB, available: 3000 * MiB };
export const full: HostMemory = { total: 4096 * MiB, available: 210 * MiB };

export function processFacts(changes: Partial<ProcessFacts> = {}): ProcessFacts {
  return {
    runId: 'run-1',
    redisVersion: '7.0.15',
    role: 'leader',
    loading: false,
    position: { id: ID, offset: 10 * MiB },
    previous: null,
    backlog: { active: true, size: 16 * MiB, firstByte: 1 * MiB, length: 9 * MiB + 1 },
    replicas: [],
    link: null,
    usedMemory: 200 * MiB,
    residentMemory: 210 * MiB,
    maxmemory: 256 * MiB,
    clientMemory: 0,
    replicationMemory: 0,
    keys: 1000,
    totalForks: 0,
    saving: false,
    lastCowBytes: 0,
    uptimeSeconds: 100,
    ...changes,
  };
}

export function dataFile(position: { id: string; offset: number } | null, path = '/data/dump.rdb'): DataFile {
  return {
    path,
    bytes: 100 * MiB,
    header: { rdbVersion: 10, redisVersion: '7.0.15', position, createdAt: null },
  };
}

export function chainSource(changes: Partial<ProcessFacts> = {}): ChainSource {
  return {
    endpoint: thirdEndpoint,
    memory: roomy,
    facts: processFacts({
      role: 'follower',
      link: {
        address: leaderEndpoint.address,
        port: leaderEndpoint.port,
        up: true,
        synchronising: false,
        offset: 10 * MiB,
      },
      ...changes,
    }),
  };
}

export function bringUpFacts(changes: Partial<BringUpFacts> = {}): BringUpFacts {
  return {
    leader: { endpoint: leaderEndpoint, facts: processFacts(), memory: roomy },
    follower: { endpoint: followerEndpoint, process: { state: 'down' } },
    ownFile: { found: false, why: 'there is no data file in its own directory' },
    backup: { found: false, why: 'no backup was named' },
    sources: [],
    writeRate: 0,
    ...changes,
  };
}
