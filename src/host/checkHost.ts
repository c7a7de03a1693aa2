import type { ProcessSpec } from '../activities/contracts.js';
import { FleetError } from '../fleet/errors.js';
import type { HostMemory, HostProcess } from '../fleet/facts.js';
import { requireFreePort } from './port.js';
import type { RedisProcesses } from './processes.js';
import { hostMemory } from './hostMemory.js';
import { readDiskAvailable } from './resources.js';
import { endpointOf, type HostSettings } from './settings.js';

/** For logs, configurations, and a file system that must not be full. */
const DISK_RESERVE_BYTES = 64 * 1024 * 1024;

/**
 * Whether these processes can be started here, beside those that run: ports, memory at their full size, and
 * disk for one data file of each.
 * @throws PortInUse, NoHeadroom, DiskFull, InvalidRequest
 */
export async function checkHost(
  settings: HostSettings,
  processes: RedisProcesses,
  wanted: readonly ProcessSpec[],
): Promise<{ memory: HostMemory; diskAvailable: number }> {
  const present = await processes.list();
  const runs = (spec: ProcessSpec): HostProcess | undefined =>
    present.find(({ database, state }) => database === spec.database && state === 'running');

  for (const spec of wanted) {
    requireUnclaimedPort(settings, spec, present);
    if (runs(spec)?.endpoint.port !== spec.port)
      await requireFreePort(endpointOf(settings, spec.port), spec.database);
  }

  const memory = await hostMemory(settings, present);
  const memoryNeeded = sum(
    wanted.map((spec) => Math.max(0, spec.maxmemory - (runs(spec)?.residentMemory ?? 0))),
  );
  if (memoryNeeded > memory.available) {
    throw new FleetError(
      'NoHeadroom',
      `${settings.host} has ${memory.available} bytes of memory available, and ${wanted.length} process(es) would ` +
        `need ${memoryNeeded} at their maxmemory. Nothing was started. Lower maxmemory in the fleet file, or place ` +
        `some of them on another server.`,
    );
  }

  const diskAvailable = await readDiskAvailable(settings.data);
  const diskNeeded = sum(wanted.filter((spec) => runs(spec) === undefined).map((spec) => spec.maxmemory));
  if (diskNeeded > 0 && diskNeeded + DISK_RESERVE_BYTES > diskAvailable) {
    throw new FleetError(
      'DiskFull',
      `${settings.host} has ${diskAvailable} bytes of disk left at ${settings.data}, and the data files of ` +
        `${wanted.length} process(es) may need ${diskNeeded}. Nothing was started. Make room ` +
        `(df -h ${settings.data}), or give the agent another --data.`,
    );
  }
  return { memory, diskAvailable };
}

/** A stopped process still owns its port: it could never be started again otherwise. */
function requireUnclaimedPort(
  settings: HostSettings,
  spec: ProcessSpec,
  present: readonly HostProcess[],
): void {
  const other = present.find(
    ({ database, endpoint }) => database !== spec.database && endpoint.port === spec.port,
  );
  if (other === undefined) return;
  throw new FleetError(
    'PortInUse',
    `${spec.database} cannot have port ${spec.port} on ${settings.host}: it is ${other.database}'s, which is ` +
      `${other.state}. Nothing was started. Give one of them another port in the fleet file, or remove ` +
      `${other.database} from this host first.`,
  );
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
