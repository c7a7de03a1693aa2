/** What a promotion asks of the agent: that a process of its host takes no writes any more, whatever it takes. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import { processFiles } from '../../src/host/layout.js';
import { findRedis } from '../../src/host/procfs.js';
import { openClient } from '../../src/testbed/clients.js';
import { CREDENTIALS, gone, stageHost, type HostStage } from './hostStage.js';

const OBEY = { obeyWithinMs: 500 };

let host: HostStage;

beforeEach(async () => {
  host = await stageHost();
});

afterEach(async () => {
  await host.end();
});

const pidOf = (database: string): number | null => findRedis(processFiles(host.settings.data, database));

async function leader(database: string) {
  const spec = host.spec(database);
  const { pid } = await host.activities.startProcess({ process: spec, allowEmpty: true });
  await host.lead(spec);
  return { spec, pid, fencing: { database, endpoint: host.endpoint(spec), ...OBEY } };
}

describe('fenceProcess', () => {
  it('demotes a leader that answers: it keeps its data, and its applications look elsewhere', async () => {
    const { spec, pid, fencing } = await leader('sessions-00');
    const client = openClient(host.endpoint(spec), { password: CREDENTIALS.application }, 1_000);
    await client.connect();
    await client.set('kept', 'yes');
    const cut = new Promise((resolve) => client.once('end', resolve));
    // As its agent may have fenced it before.
    await host.use(spec, (redis) => redis.config('SET', 'min-replicas-to-write', '99'));
    expect(await host.activities.fenceProcess(fencing)).toBe('demoted');
    await cut;
    expect(await host.facts(spec)).toMatchObject({
      role: 'follower',
      link: { address: '127.0.0.1', port: 1 },
      keys: 1,
      totalForks: 0,
    });
    await expect(host.use(spec, (redis) => redis.set('later', '1'))).rejects.toThrow(/READONLY/);
    expect(await host.use(spec, (redis) => redis.config('GET', 'min-replicas-to-write'))).toEqual([
      'min-replicas-to-write',
      '0',
    ]);
    expect(pidOf('sessions-00')).toBe(pid);
    // Asked again, as after a worker's crash.
    expect(await host.activities.fenceProcess(fencing)).toBe('demoted');
  });

  it('kills one that hangs, and nobody else', async () => {
    const other = await leader('carts-00');
    const { pid, fencing } = await leader('sessions-00');
    process.kill(pid, 'SIGSTOP');
    const since = performance.now();
    expect(await host.activities.fenceProcess(fencing)).toBe('killed');
    expect(performance.now() - since).toBeLessThan(8_000);
    await gone(pid);
    expect(pidOf('sessions-00')).toBeNull();
    expect(pidOf('carts-00')).toBe(other.pid);
    expect(await host.activities.fenceProcess(fencing)).toBe('gone');
  });

  it('kills one that is busy in a command without an end', async () => {
    const { spec, pid, fencing } = await leader('sessions-00');
    const busy = openClient(host.endpoint(spec), { password: CREDENTIALS.application }, 20_000);
    await busy.connect();
    const script = busy.eval('while true do end', 0).catch((error: unknown) => error);
    await expect
      .poll(() => host.use(spec, (redis) => redis.ping()).catch(() => 'busy'), { timeout: 10_000 })
      .toBe('busy');
    expect(await host.activities.fenceProcess(fencing)).toBe('killed');
    await script;
    busy.disconnect();
    await gone(pid);
  });

  it('leaves a follower as it is', async () => {
    const spec = host.spec('sessions-00');
    await host.activities.startProcess({ process: spec, allowEmpty: true });
    await host.use(spec, (redis) => redis.call('REPLICAOF', '127.0.9.9', '6399'));
    const endpoint = host.endpoint(spec);
    expect(await host.activities.fenceProcess({ database: 'sessions-00', endpoint, ...OBEY })).toBe(
      'demoted',
    );
    expect((await host.facts(spec)).link).toMatchObject({ address: '127.0.9.9', port: 6399 });
  });

  it('says gone where nothing was ever started, and refuses an address that is not its process’s', async () => {
    const { fencing, pid } = await leader('sessions-00');
    expect(await host.activities.fenceProcess({ ...fencing, database: 'carts-00' })).toBe('gone');
    const elsewhere = { ...fencing.endpoint, port: fencing.endpoint.port + 1 };
    const refusal: unknown = await host.activities
      .fenceProcess({ ...fencing, endpoint: elsewhere })
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(FleetError);
    expect(refusal).toMatchObject({ kind: 'InvalidRequest' });
    expect(pidOf('sessions-00')).toBe(pid);
  });
});
