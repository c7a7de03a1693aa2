import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leaseStore } from '../../src/records/leases.js';
import { openClient } from '../../src/testbed/clients.js';
import { now, startTraffic, type Traffic } from '../../src/testbed/traffic.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { startZonedFleet, type ZonedFleet } from '../../src/testbed/zonedFleet.js';
import { makeZones, zonesPossible } from '../../src/testbed/zones.js';

const why = zonesPossible();
const suite = why === null ? 'zones' : `zones (skipped: ${why})`;
const SECOND = 1000;

describe.skipIf(why !== null)(suite, () => {
  it('keep apart what runs in them, and are gone when they are removed, with all that ran inside', async () => {
    const zones = await makeZones((subnet) => ({ left: [`${subnet}.11`], right: [`${subnet}.12`] }));
    const inside = spawn(...split([...zones.enter('left'), 'sleep', '1000']), { stdio: 'ignore' });
    try {
      const left = zones.outside.replace(/1$/, '11');
      expect(reaches([], left)).toBe(true);
      expect(reaches(zones.enter('right'), left)).toBe(true);

      await zones.cut('left');
      expect(reaches([], left)).toBe(false);
      expect(reaches(zones.enter('right'), left)).toBe(false);
      expect(reaches(zones.enter('left'), left)).toBe(true);
      expect(reaches(zones.enter('right'), zones.outside)).toBe(true);

      await zones.heal('left');
      expect(reaches(zones.enter('right'), left)).toBe(true);
    } finally {
      await zones.remove();
    }
    if (inside.exitCode === null && inside.signalCode === null) await once(inside, 'exit');
    expect(inside.signalCode).toBe('SIGKILL');
    expect(namespaces(zones.enter('left'))).toEqual([]);
  });

  it('are gone when whoever made them is killed', async () => {
    const script = `
      import { makeZones } from '${path.resolve(import.meta.dirname, '../../dist/testbed/zones.js')}';
      const zones = await makeZones((subnet) => ({ left: [subnet + '.11'] }));
      process.stdout.write(zones.enter('left').join(' ') + '\\n');
      setInterval(() => undefined, 1000);`;
    const maker = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    maker.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    await waitFor(() => said.endsWith('\n') || maker.exitCode !== null, {
      deadlineMs: 60 * SECOND,
      what: 'the zones of another process',
    });
    const enter = said.trim().split(' ');
    expect(namespaces(enter)).toHaveLength(1);

    maker.kill('SIGKILL');

    await waitFor(() => namespaces(enter).length === 0, { deadlineMs: 60 * SECOND, what: 'the guard' });
  });
});

describe.skipIf(why !== null)(`a fleet in ${suite}`, () => {
  let fleet: ZonedFleet;
  const clients: Traffic[] = [];

  beforeAll(async () => {
    fleet = await startZonedFleet({ servers: 1, databasesPerServer: 1 });
  }, 120_000);
  afterAll(async () => {
    for (const traffic of clients) traffic.end();
    await fleet.stop();
    expect(namespaces(fleet.zones.enter('az-a'))).toEqual([]);
  });

  it('is cut in two: each client writes on its own side of the cut only, and the sides find together again', async () => {
    const leader = await fleet.leader('sessions-00');
    const follower = await fleet.follower('sessions-00');
    const [outside, inside] = await Promise.all([writeTo(leader), writeTo(leader, 'az-a')]);
    await acknowledgesAfter(outside, now());
    const before = await fleet.facts(leader);

    await fleet.zones.cut('az-a');
    const cutAt = now();
    await acknowledgesAfter(inside, cutAt + SECOND);
    expect((await figuresSince(outside, cutAt)).acknowledged).toBe(0);
    await expect(fleet.facts(leader)).rejects.toMatchObject({ kind: 'Unreachable' });
    expect((await fleet.facts(follower)).role).toBe('follower');

    await fleet.zones.heal('az-a');
    await acknowledgesAfter(outside, now());
    await Promise.all([outside.stop(), inside.stop()]);
    for (const traffic of [outside, inside]) {
      const { acknowledged, lost } = await traffic.verify(0, leader, fleet.application);
      expect(acknowledged).toBeGreaterThan(100);
      expect(lost).toBe(0);
    }
    await waitFor(async () => (await fleet.facts(follower)).link?.up === true, {
      deadlineMs: 90 * SECOND,
      what: 'the follower to find its leader again',
    });
    expect((await fleet.facts(leader)).totalForks).toBe(before.totalForks);
  });

  it('has agents that Temporal and Consul hear from inside their zones', async () => {
    expect(await fleet.dev.run('bring-up', 'sessions-00')).toBe(0);
    const lease = await leaseStore(fleet.dev.consul, fleet.dev.fleet.name).read('redis-01-a');
    expect(lease === null || lease.lease.host === 'redis-01-a').toBe(true);
    const client = openClient(await fleet.leader('sessions-00'), fleet.application, SECOND);
    await client.connect();
    expect(await client.ping()).toBe('PONG');
    client.disconnect();
  });

  async function writeTo(where: { address: string; port: number }, zone?: string): Promise<Traffic> {
    const traffic = await startTraffic(
      [
        {
          name: 'sessions-00',
          route: { by: 'address', address: where.address, port: where.port },
          login: fleet.application,
          rate: 500,
          inFlight: 64,
        },
      ],
      zone === undefined ? [] : fleet.zones.enter(zone),
    );
    clients.push(traffic);
    return traffic;
  }
});

async function acknowledgesAfter(traffic: Traffic, from: number): Promise<void> {
  await waitFor(async () => (await figuresSince(traffic, from)).acknowledged > 50, {
    deadlineMs: 60 * SECOND,
    what: 'acknowledged writes',
  });
}

async function figuresSince(traffic: Traffic, from: number): Promise<{ acknowledged: number }> {
  const [figures] = await traffic.figures({ from });
  if (figures === undefined) throw new Error('there is no stream');
  return figures;
}

/** Whether an address answers a ping from there. */
function reaches(enter: readonly string[], address: string): boolean {
  const connect = `const s = require('net').connect(9, '${address}'); s.setTimeout(500);
    s.on('connect', () => process.exit(0)).on('timeout', () => process.exit(1))
      .on('error', (e) => process.exit(e.code === 'ECONNREFUSED' ? 0 : 1));`;
  try {
    const [binary, parameters] = split([...enter, process.execPath, '-e', connect]);
    execFileSync(binary, parameters);
    return true;
  } catch {
    return false;
  }
}

function split(command: readonly string[]): [string, string[]] {
  const [binary = '', ...parameters] = command;
  return [binary, parameters];
}

/** What is left of the namespace that a command would enter. */
function namespaces(enter: readonly string[]): readonly string[] {
  const file = enter.find((word) => word.startsWith('--net='))?.slice('--net='.length) ?? '';
  if (!existsSync(path.dirname(file))) return [];
  return readdirSync(path.dirname(file)).filter((name) => name === path.basename(file));
}
