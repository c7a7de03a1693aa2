/** deploy/consul-template, held against real records and a real catalog. */

import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { consulKeys } from '../../src/fleet/names.js';
import type { DatabaseRecord } from '../../src/fleet/record.js';
import { registerProcess } from '../../src/records/catalog.js';
import { ABSENT, recordStore } from '../../src/records/databases.js';
import { listEntries } from '../../src/records/kv.js';
import { startTestConsul, type TestConsul } from '../../src/testbed/consul.js';

const FOLDER = path.resolve(import.meta.dirname, '../../deploy/consul-template');
const BINARY = process.env['REDIS_FLEET_BIN_CONSUL_TEMPLATE'] ?? 'consul-template';
const RENDERS = spawnSync(BINARY, ['-version']).status === 0;
const FLEET = 'demo';
const LEADER = { host: 'redis-01-a', address: '127.0.1.1', port: 6300 };
const FOLLOWER = { host: 'redis-01-b', address: '127.0.1.2', port: 6300 };
const BASE = { server: 'redis-01', updatedAt: '2026-01-31T12:00:00.000Z', updatedBy: 'test' };
const RECORDS: readonly DatabaseRecord[] = [
  { ...BASE, database: 'sessions-00', epoch: 12_345_678, leader: LEADER, follower: FOLLOWER },
  { ...BASE, database: 'sessions-01', epoch: 1, leader: { ...FOLLOWER, port: 65_535 }, follower: null },
  { ...BASE, database: 'sessions-02', epoch: 0, leader: LEADER, follower: null },
];

let consul: TestConsul;

beforeAll(async () => {
  consul = await startTestConsul();
  const records = recordStore(consul.consul, FLEET);
  for (const record of RECORDS) expect(await records.compareAndSet(record, ABSENT)).toBe(true);
  const process = { fleet: FLEET, database: 'sessions-00', epoch: 1 };
  await registerProcess(consul.consul, { ...process, role: 'leader', endpoint: LEADER });
  await registerProcess(consul.consul, { ...process, role: 'follower', endpoint: FOLLOWER });
});
afterAll(() => consul.stop());

function template(name: string): string {
  return readFileSync(path.join(FOLDER, name), 'utf8');
}

function at(value: unknown, way: readonly string[]): unknown {
  return way.reduce<unknown>(
    (inner, step) =>
      typeof inner === 'object' && inner !== null ? (Reflect.get(inner, step) as unknown) : undefined,
    value,
  );
}

describe('what the templates name', () => {
  const ofRecords = ['leaders.env.ctmpl', 'leaders.json.ctmpl'];

  it('is all that there is to render', () => {
    const sources = [...template('consul-template.hcl').matchAll(/source\s+= "(.*)"/g)].map(
      ([, name]) => name,
    );
    expect(sources.toSorted()).toEqual([...ofRecords, 'haproxy.cfg.ctmpl'].toSorted());
    expect(
      readdirSync(FOLDER)
        .filter((name) => name.endsWith('.ctmpl'))
        .toSorted(),
    ).toEqual(sources.toSorted());
  });

  it.each(ofRecords)('%s: the prefix and every field are those of real records', async (name) => {
    const [, prefix = ''] = /ls "(.*?)"/.exec(template(name)) ?? [];
    expect(`${prefix}/`).toBe(consulKeys(FLEET).databases);
    const [entry] = await listEntries(consul.consul, `${prefix}/`);
    const record: unknown = JSON.parse(entry?.text ?? '');
    const ways = [...template(name).matchAll(/\$record((?:\.\w+)+)/g)].map(([, way = '']) =>
      way.slice(1).split('.'),
    );
    expect(ways.length).toBeGreaterThan(3);
    for (const way of ways) expect(at(record, way), way.join('.')).toBeDefined();
  });

  it('haproxy.cfg.ctmpl: the service, its tag and its fields are those of the catalog', async () => {
    const text = template('haproxy.cfg.ctmpl');
    const [, tag = ''] = /service \(printf "(\w+)\.%s"/.exec(text) ?? [];
    const databases = Object.values(JSON.parse(template('listeners.json')) as Record<string, string>);
    expect(databases).toContain('sessions-00');
    const answer = await fetch(
      `http://${consul.env.CONSUL_HTTP_ADDR}/v1/health/service/sessions-00?tag=${tag}&passing`,
    );
    const [found, ...more] = (await answer.json()) as { Service: Record<string, unknown> }[];
    expect(more).toEqual([]);
    // consul-template shows a service's address, port and meta under these names.
    const fields: Record<string, unknown> = {
      Address: at(found, ['Service', 'Address']),
      Port: at(found, ['Service', 'Port']),
      ServiceMeta: at(found, ['Service', 'Meta']),
    };
    const ways = [...text.matchAll(/\{\{ ((?:\.\w+)+) \}\}/g)].map(([, way = '']) => way.slice(1).split('.'));
    expect(ways.map((way) => at(fields, way))).toEqual([LEADER.host, LEADER.address, LEADER.port]);
  });
});

describe.skipIf(!RENDERS)('rendered by consul-template (skipped where there is none on the PATH)', () => {
  it('they say who leads', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'redis-fleet-templates-'));
    try {
      cpSync(FOLDER, folder, { recursive: true });
      // It is this machine's HAProxy that would be reloaded.
      const settings = template('consul-template.hcl').replace(/^ *command .*$/m, '');
      writeFileSync(path.join(folder, 'consul-template.hcl'), settings);
      const parameters = ['-config', 'consul-template.hcl', '-once'];
      await promisify(execFile)(BINARY, parameters, { cwd: folder, env: { ...process.env, ...consul.env } });
      const read = (name: string): string => readFileSync(path.join(folder, name), 'utf8');
      expect(read('leaders.env').trim()).toBe(
        'REDIS_SESSIONS_00=127.0.1.1:6300\nREDIS_SESSIONS_01=127.0.1.2:65535',
      );
      expect(JSON.parse(read('leaders.json'))).toEqual({
        'sessions-00': { epoch: 12_345_678, leader: '127.0.1.1:6300', follower: '127.0.1.2:6300' },
        'sessions-01': { epoch: 1, leader: '127.0.1.2:65535', follower: null },
        'sessions-02': { epoch: 0, leader: null, follower: null },
      });
      expect(read('haproxy.cfg')).toMatch(
        /listen sessions-00\n +bind 127.0.0.1:6300\n +server redis-01-a 127.0.1.1:6300\n/,
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
