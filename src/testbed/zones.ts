/**
 * Availability zones on one machine: a network namespace each, with a cable to a bridge that everything else is at, and
 * that can be cut. Needs root and `iproute2`. What is made here is gone when it is removed, or when this process ends.
 */

import { execFile, execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { promisify } from 'node:util';
import type { DevNetwork } from '../dev/network.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { forwardTo, type Forwarder } from './forwarder.js';

export interface Zones extends DevNetwork {
  /** Pulls the zone's cable: what is inside goes on, and neither hears nor is heard. Nobody gets a refusal. */
  cut(zone: string): Promise<void>;
  heal(zone: string): Promise<void>;
  /** Kills all that runs inside, and removes the zones. May be called again. */
  remove(): Promise<void>;
}

const run = promisify(execFile);

/** Waits for the end of its standard input, which the kernel closes with us. $1: the bridge. The rest: namespaces. */
const GUARD = `
trap '' INT TERM HUP
read -r _
bridge=$1
shift
for zone in "$@"; do
  for pid in $(ip netns pids "$zone" 2>/dev/null); do kill -s KILL "$pid" 2>/dev/null; done
  ip netns del "$zone" 2>/dev/null
done
ip link del "$bridge" 2>/dev/null
exit 0
`;

/** Why zones cannot be made here; null: they can. */
export function zonesPossible(): string | null {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only';
  const probe = `redis-fleet-probe-${randomBytes(4).toString('hex')}`;
  const quietly = (...parameters: string[]): void => {
    execFileSync('ip', parameters, { stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' });
  };
  try {
    quietly('netns', 'add', probe);
  } catch (error) {
    return `network namespaces cannot be made here (that needs root and iproute2): ${lastLine(error)}`;
  }
  try {
    // Inside, where nothing of it is left when the namespace goes.
    quietly('-n', probe, 'link', 'add', 'bridge0', 'type', 'bridge');
    quietly('-n', probe, 'link', 'add', 'cable0', 'type', 'veth', 'peer', 'name', 'cable1');
    execFileSync('nsenter', [`--net=/run/netns/${probe}`, 'true'], { stdio: ['ignore', 'ignore', 'pipe'] });
    return null;
  } catch (error) {
    return `bridges and cables between network namespaces cannot be made here: ${lastLine(error)}`;
  } finally {
    quietly('netns', 'del', probe);
  }
}

/**
 * @param addressesIn the hosts' addresses in each zone, given three numbers of a network that is free here
 * @throws InvalidRequest when zones cannot be made here
 */
export async function makeZones(
  addressesIn: (subnet: string) => Readonly<Record<string, readonly string[]>>,
): Promise<Zones> {
  const why = zonesPossible();
  if (why !== null) throw new FleetError('InvalidRequest', `There are no zones: ${why}.`);
  const id = randomBytes(3).toString('hex');
  const subnet = await freeSubnet();
  const addresses = addressesIn(subnet);
  const names = Object.keys(addresses);
  const bridge = `rf${id}`;
  const namespace = (zone: string): string => `redis-fleet-${id}-${zone}`;
  // There before anything that it would have to remove.
  const guard = spawn('bash', ['-c', GUARD, 'guard', bridge, ...names.map(namespace)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.stdin.on('error', () => undefined);
  guard.unref();
  const forwarders: Forwarder[] = [];
  const known = (zone: string): string => {
    if (names.includes(zone)) return zone;
    throw new FleetError('NotFound', `There is no zone ${zone} here: it is one of ${names.join(', ')}.`);
  };
  const cable = (zone: string): string => `${bridge}z${names.indexOf(known(zone))}`;
  const zones: Zones = {
    outside: `${subnet}.1`,
    owns: (address) => Object.values(addresses).some((inZone) => inZone.includes(address)),
    enter: (zone) => ['nsenter', `--net=/run/netns/${namespace(known(zone))}`, '--'],
    async forward(port) {
      const forwarder = await forwardTo({ address: '127.0.0.1', port }, `${subnet}.1`);
      forwarders.push(forwarder);
      return forwarder.port;
    },
    cut: (zone) => ip('link', 'set', cable(zone), 'down'),
    heal: (zone) => ip('link', 'set', cable(zone), 'up'),
    async remove() {
      for (const forwarder of forwarders) forwarder.close();
      await ended(guard);
    },
  };
  try {
    await ip('link', 'add', bridge, 'type', 'bridge');
    await ip('address', 'add', `${subnet}.1/24`, 'dev', bridge);
    await ip('link', 'set', bridge, 'up');
    for (const zone of names) {
      const inside = ['-n', namespace(zone)];
      await ip('netns', 'add', namespace(zone));
      await ip('link', 'add', cable(zone), 'type', 'veth', 'peer', 'name', 'cable', 'netns', namespace(zone));
      await ip('link', 'set', cable(zone), 'master', bridge, 'up');
      for (const address of addresses[zone] ?? []) {
        await ip(...inside, 'address', 'add', `${address}/24`, 'dev', 'cable');
      }
      await ip(...inside, 'link', 'set', 'lo', 'up');
      await ip(...inside, 'link', 'set', 'cable', 'up');
    }
    return zones;
  } catch (error) {
    await zones.remove();
    throw error;
  }
}

async function ip(...parameters: string[]): Promise<void> {
  try {
    await run('ip', parameters);
  } catch (error) {
    throw new FleetError('InvalidRequest', `\`ip ${parameters.join(' ')}\` failed: ${lastLine(error)}`, {
      cause: error,
    });
  }
}

/** Of the addresses that are set aside for measurements between networks. */
async function freeSubnet(): Promise<string> {
  const { stdout } = await run('ip', ['-4', 'route', 'show']);
  for (;;) {
    const subnet = `198.${randomInt(18, 20)}.${randomInt(0, 256)}`;
    if (!stdout.includes(`${subnet}.`)) return subnet;
  }
}

async function ended(guard: ChildProcess): Promise<void> {
  if (guard.exitCode !== null || guard.signalCode !== null) return;
  const gone = once(guard, 'exit');
  // Nobody may have anything else to wait for.
  guard.ref();
  guard.stdin?.end();
  await gone;
}

function lastLine(error: unknown): string {
  const said =
    typeof error === 'object' && error !== null && 'stderr' in error ? String(error.stderr).trim() : '';
  return (said === '' ? messageOf(error) : said).split('\n').at(-1) ?? '';
}
