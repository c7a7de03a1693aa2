import { describe, expect, it } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import type { HostLease } from '../../src/fleet/lease.js';
import { parseLease } from '../../src/fleet/leaseFormat.js';

const KEY = 'redis-fleet/demo/leases/redis-01-a';

const lease: HostLease = {
  host: 'redis-01-a',
  agent: 'a run',
  term: 2,
  renewal: 17,
  ttl: 5_000,
  at: '2026-01-01T00:00:00.000Z',
  processes: {
    'sessions-00': {
      role: 'leader',
      pulse: 'up',
      runId: 'abc',
      position: { id: 'def', offset: 0 },
      link: null,
      fenced: null,
    },
    'sessions-01': {
      role: 'follower',
      pulse: 'gone',
      runId: null,
      position: null,
      link: 'down',
      fenced: 'because',
    },
  },
  leaders: { 'sessions-01': 'silent' },
};

const parse = (changes: Record<string, unknown>) => () =>
  parseLease(JSON.stringify({ ...lease, ...changes }), KEY);
const ofProcess = (changes: Record<string, unknown>) =>
  parse({ processes: { 'sessions-00': { ...lease.processes['sessions-00'], ...changes } } });

describe('a lease as Consul holds it', () => {
  it('is read as it was written, with what others added', () => {
    expect(parse({})()).toEqual(lease);
    const more = { broken: { by: 'promoteFollower/x', why: 'it ran out' }, left: true, theirs: 1 };
    expect(parse(more)()).toEqual({ ...lease, ...more });
  });

  it.each([
    ['host', parse({ host: '' })],
    ['agent', parse({ agent: 7 })],
    ['term', parse({ term: 0 })],
    ['renewal', parse({ renewal: 1.5 })],
    ['ttl', parse({ ttl: '5s' })],
    ['at', parse({ at: 'yesterday' })],
    ['broken', parse({ broken: true })],
    ['broken.why', parse({ broken: { by: 'x' } })],
    ['left', parse({ left: false })],
    ['processes', parse({ processes: [] })],
    ['processes.sessions-00', parse({ processes: { 'sessions-00': null } })],
    ['processes.sessions-00.role', ofProcess({ role: 'master' })],
    ['processes.sessions-00.pulse', ofProcess({ pulse: 'dead' })],
    ['processes.sessions-00.runId', ofProcess({ runId: undefined })],
    ['processes.sessions-00.position', ofProcess({ position: 'x' })],
    ['processes.sessions-00.position.offset', ofProcess({ position: { id: 'x', offset: -1 } })],
    ['processes.sessions-00.link', ofProcess({ link: 'lost' })],
    ['processes.sessions-00.fenced', ofProcess({ fenced: true })],
    ['leaders', parse({ leaders: null })],
    ['leaders.sessions-01', parse({ leaders: { 'sessions-01': 'down' } })],
  ])('is refused with a wrong %s, which is named with what to do', (field, read) => {
    expect(read).toThrow(FleetError);
    expect(read).toThrow(`Consul key ${KEY}: ${field} must be`);
    expect(read).toThrow(`consul kv delete ${KEY}`);
  });

  it('is refused when it is no JSON', () => {
    expect(() => parseLease('{"host":', KEY)).toThrow('its value must be JSON');
  });
});
