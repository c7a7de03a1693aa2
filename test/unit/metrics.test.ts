/** What an alarm is raised by: the numbers that Prometheus reads from a control worker. */

import { describe, expect, it } from 'vitest';
import type { BackupRecord } from '../../src/fleet/backupRecord.js';
import type { DrillRecord } from '../../src/fleet/drills.js';
import { parseFleetFile } from '../../src/fleet/fleetFile.js';
import { exposition, serveMetrics, type MetricsSources } from '../../src/workers/metrics.js';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const quiet = { info: () => undefined, warn: () => undefined };

function fleetWith(backups: string) {
  return parseFleetFile(
    `
fleet: demo
servers:
  - name: redis-01
    hosts:
      - { name: redis-01-a, zone: az-a, address: 127.0.1.1, memory: 4GiB }
      - { name: redis-01-b, zone: az-b, address: 127.0.1.2, memory: 4GiB }
databases:
  - { name: fresh, server: redis-01, port: 6300, maxmemory: 64MiB }
  - { name: old, server: redis-01, port: 6301, maxmemory: 64MiB }
  - { name: none, server: redis-01, port: 6302, maxmemory: 64MiB }
backups: ${backups}
`,
    'fleet.yaml',
  );
}

function backup(database: string, at: string): BackupRecord {
  return { database, at, storedBytes: 1_000 } as BackupRecord;
}

function drill(database: string, passed: boolean, lastPassed: string | null): DrillRecord {
  return { database, passed, lastPassed, seconds: 4.5 } as DrillRecord;
}

function sources(backups = '{ every: 1h, deadline: 2h }'): MetricsSources {
  return {
    fleet: { applied: () => Promise.resolve(fleetWith(backups)) },
    backups: {
      list: () =>
        Promise.resolve([backup('fresh', '2026-03-01T11:30:00Z'), backup('old', '2026-03-01T09:00:00Z')]),
    },
    drills: {
      list: () =>
        Promise.resolve([
          drill('fresh', true, '2026-03-01T06:00:00Z'),
          drill('old', false, '2026-02-01T12:00:00Z'),
        ]),
    },
  };
}

describe('metrics', () => {
  it('raise an alarm for a database beyond its deadline, and for one without a backup', async () => {
    const { text } = await exposition(sources(), NOW);
    expect(text).toContain('redis_fleet_backup_overdue{fleet="demo",database="fresh"} 0');
    expect(text).toContain('redis_fleet_backup_overdue{fleet="demo",database="old"} 1');
    expect(text).toContain('redis_fleet_backup_overdue{fleet="demo",database="none"} 1');
    expect(text).toContain('redis_fleet_backup_age_seconds{fleet="demo",database="old"} 10800');
    expect(text).not.toContain('redis_fleet_backup_age_seconds{fleet="demo",database="none"}');
  });

  it('say how drills went, and when one last passed', async () => {
    const { text } = await exposition(sources(), NOW);
    expect(text).toContain('redis_fleet_drill_failed{fleet="demo",database="old"} 1');
    expect(text).toContain('redis_fleet_drill_age_seconds{fleet="demo",database="fresh"} 21600');
    expect(text).toContain('redis_fleet_drill_restore_seconds{fleet="demo",database="fresh"} 4.5');
  });

  it('raise none while backups are paused, and say that they are', async () => {
    const { text } = await exposition(sources('{ every: 1h, paused: true }'), NOW);
    expect(text).toContain('redis_fleet_backups_paused{fleet="demo"} 1');
    expect(text).toContain('redis_fleet_backup_overdue{fleet="demo",database="old"} 0');
  });

  it('are served where they are asked for, and an outage is an error, not a number', async () => {
    const away: MetricsSources = {
      ...sources(),
      backups: { list: () => Promise.reject(new Error('Consul is away')) },
    };
    const well = await serveMetrics('127.0.0.1:0', sources(), quiet);
    const ill = await serveMetrics('127.0.0.1:0', away, quiet);
    try {
      const answer = await fetch(`http://${well.address}/metrics`);
      expect(answer.headers.get('content-type')).toContain('text/plain');
      expect(await answer.text()).toContain('# TYPE redis_fleet_backup_overdue gauge');
      expect((await fetch(`http://${well.address}/`)).status).toBe(404);
      const trouble = await fetch(`http://${ill.address}/metrics`);
      expect({ status: trouble.status, text: await trouble.text() }).toEqual({
        status: 503,
        text: 'Consul is away\n',
      });
      await expect(serveMetrics(well.address, sources(), quiet)).rejects.toThrow(
        /Metrics cannot be served at 127\.0\.0\.1:\d+ \(REDIS_FLEET_METRICS\): .* The worker was not started\./,
      );
    } finally {
      well.close();
      ill.close();
    }
    await expect(serveMetrics('9464', sources(), quiet)).rejects.toThrow(/must be an address and a port/);
  });
});
