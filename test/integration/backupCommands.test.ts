/** Backups as engineers have them: on schedule, seen, checked, taken by hand, and let go. */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Finding } from '../../src/fleet/checks.js';
import { consulKeys, scheduleId } from '../../src/fleet/names.js';
import { PAUSED_BY_FILE } from '../../src/fleet/schedules.js';
import { makeBackup } from '../../src/testbed/backups.js';
import { startTestFleet, type TestFleet } from '../../src/testbed/fleet.js';
import { waitFor } from '../../src/testbed/waiting.js';
import { cli } from './cliRunner.js';

let fleet: TestFleet;
const said: string[] = [];

beforeAll(async () => {
  fleet = await startTestFleet({
    servers: 1,
    databasesPerServer: 2,
    backups: '{ every: 30m, keep: { hourly: 1, daily: 0, weekly: 0 } }',
    tellOutput: (line) => said.push(line),
  });
}, 60_000);

afterAll(async () => {
  await fleet.stop();
});

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function run(...words: string[]): Promise<Ran> {
  return cli(fleet.dev.env, words);
}

async function json(...words: string[]): Promise<{ readonly code: number | null; readonly value: unknown }> {
  const { code, out, err } = await run(...words, '--json');
  expect(err).toBe('');
  return { code, value: JSON.parse(out) as unknown };
}

async function list(...words: string[]): Promise<Listed['databases']> {
  return ((await json('backups', 'list', ...words)).value as Listed).databases;
}

async function findings(): Promise<{ readonly code: number | null; readonly backups: readonly Finding[] }> {
  const { code, value } = await json('check');
  const found = (value as { findings: Finding[] }).findings;
  return { code, backups: found.filter(({ check }) => check === 'backups') };
}

interface Listed {
  readonly databases: readonly {
    readonly database: string;
    readonly overdue: boolean;
    readonly backups: readonly { readonly id: string; readonly state: string }[];
  }[];
}

function handle(host: string) {
  return fleet.dev.temporal.schedule.getHandle(scheduleId('backupSweep', host));
}

async function rewrite(from: string, to: string): Promise<Ran> {
  const file = fleet.dev.env['REDIS_FLEET_FILE'] ?? '';
  writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
  const planned = await run('plan');
  const applied = await run('apply');
  expect(applied.err).toBe('');
  // What apply does was to be seen before.
  const schedules = applied.out.split('\n').filter((line) => line.includes(' schedule '));
  for (const line of schedules) expect(planned.out).toContain(line);
  return applied;
}

describe('backups on schedule', () => {
  test('begin with the first apply: each host has its schedule, and every database a verified backup', async () => {
    for (const host of ['redis-01-a', 'redis-01-b']) {
      expect(said.join('\n')).toContain(`+ schedule backupSweep/${host}  is new: every 30 min, and now`);
      const { spec, policies, state, action } = await handle(host).describe();
      expect(spec.intervals?.[0]?.every).toBe(1_800_000);
      expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 1_800_000 });
      expect(spec.jitter).toBeGreaterThan(0);
      expect(state.paused).toBe(false);
      expect(action.args).toEqual([{ host }]);
    }
    await waitFor(async () => (await run('backups', 'list')).code === 0, {
      deadlineMs: 20_000,
      everyMs: 200,
      what: 'a backup of each database',
    });
    expect((await list()).map(({ backups }) => backups[0]?.state)).toEqual(['verified', 'verified']);
    // With its time, a scheduled run is found by the host.
    const runs = await run('runbook', 'list', '--all');
    expect(runs.out).toMatch(/backupSweep\/redis-01-b-\d{4}-/);
  });

  test('are seen in status, and a database without one fails the check', async () => {
    const status = await run('status');
    expect(status.out).toMatch(/sessions-00 .* ago/);
    expect((await findings()).backups).toEqual([]);

    const key = consulKeys(fleet.dev.fleet.name).backup('sessions-00');
    await fleet.dev.consul.call('forget a backup', (client) => client.kv.del(key));
    const { code, backups } = await findings();
    expect(code).toBe(1);
    expect(backups).toEqual([
      {
        severity: 'failure',
        check: 'backups',
        subject: 'sessions-00',
        text: 'Database sessions-00 has no verified backup; run: redis-fleet backups take sessions-00',
      },
    ]);
    expect((await run('backups', 'list')).code).toBe(1);
    expect((await run('backups', 'take', 'sessions-00')).code).toBe(0);
    expect((await run('backups', 'list')).code).toBe(0);
  });

  test('follow the fleet file: their pace, a pause, and its end; a pause by hand stays', async () => {
    await rewrite('every: 30m', 'every: 1h');
    expect((await handle('redis-01-a').describe()).spec.intervals?.[0]?.every).toBe(3_600_000);

    const paused = await rewrite('every: 1h', 'every: 1h, paused: true');
    expect(paused.out).toContain('+ schedule backupSweep/redis-01-a  is paused');
    expect((await handle('redis-01-a').describe()).state).toMatchObject({
      paused: true,
      note: PAUSED_BY_FILE,
    });
    expect((await run('check')).out).toContain('Backups are paused');

    await rewrite('every: 1h, paused: true', 'every: 1h');
    expect((await handle('redis-01-a').describe()).state.paused).toBe(false);

    await handle('redis-01-b').pause('ann repairs the store');
    const applied = await run('apply');
    expect(applied.out).toContain('was paused by hand, and stays so: ann repairs the store');
    expect((await handle('redis-01-b').describe()).state.paused).toBe(true);
  });
});

describe('redis-fleet backups', () => {
  test('shows what is known of one, and its help says what there is', async () => {
    const { code, value } = await json('backups', 'show', 'sessions-01');
    expect(code).toBe(0);
    expect(value).toMatchObject({
      state: 'verified',
      manifest: { database: 'sessions-01' },
      check: { kind: 'sound' },
    });
    expect((await run('backups', '--help')).out).toContain('backups.store');
    expect((await run('backups', 'take')).code).toBe(2);
    expect((await run('backups', 'show', 'sessions-01', '20200101T000000000Z-e1')).err).toContain(
      'There is no backup 20200101T000000000Z-e1 of sessions-01',
    );
  });

  test('finds a byte that was flipped in the store, names it, and remembers', async () => {
    expect((await run('backups', 'verify', 'sessions-01')).out).toContain('is sound');
    const folder = path.join(fleet.dev.data.root, 'backups/test/sessions-01');
    const [data = ''] = readdirSync(folder).filter((name) => name.includes('.rdb'));
    const file = path.join(folder, data);
    const bytes = readFileSync(file);
    bytes[Math.floor(bytes.length / 2)] = (bytes[Math.floor(bytes.length / 2)] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const { code, out } = await run('backups', 'verify', 'sessions-01');
    expect(code).toBe(1);
    expect(out).toContain('was altered in the store');
    expect((await list('sessions-01'))[0]?.backups[0]?.state).toBe('unsound');
  });

  test('lets old ones go only when told twice, and never the last two verified ones', async () => {
    for (let n = 0; n < 3; n++) await makeBackup(fleet, 'sessions-00');
    const ids = (await list('sessions-00'))[0]?.backups.map(({ id }) => id) ?? [];
    expect(ids.length).toBeGreaterThan(2);

    const shown = await run('backups', 'expire', 'sessions-00');
    expect(shown.out).toContain(
      'Nothing was deleted; delete them with: redis-fleet backups expire --confirm',
    );
    for (const id of ids.slice(2)) expect(shown.out).toContain(`would go  sessions-00  ${id}`);
    expect((await list('sessions-00'))[0]?.backups).toHaveLength(ids.length);

    expect((await run('backups', 'expire', 'sessions-00', '--confirm')).code).toBe(0);
    expect((await list('sessions-00'))[0]?.backups.map(({ id }) => id)).toEqual(ids.slice(0, 2));
    expect((await run('backups', 'expire', 'sessions-00')).out).toContain('Nothing has expired');
  });

  test('takes all that follow on a host, and says what it could not take', async () => {
    const { code, value } = await json('backups', 'take', '--host', 'redis-01-b');
    expect(value).toMatchObject({ end: 'well', result: { verified: 2 } });
    expect(code).toBe(0);
  });
});
