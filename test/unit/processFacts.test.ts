import { describe, expect, it } from 'vitest';
import { FleetError } from '../../src/fleet/errors.js';
import { parseProcessFacts } from '../../src/fleet/processFacts.js';

const ID = 'ab'.repeat(20);
const OLD = 'cd'.repeat(20);

const COMMON = {
  redis_version: '7.0.15',
  run_id: 'f00d',
  uptime_in_seconds: '17',
  used_memory: '1000',
  used_memory_rss: '2000',
  maxmemory: '4000',
  mem_clients_normal: '30',
  mem_total_replication_buffers: '40',
  loading: '0',
  rdb_bgsave_in_progress: '0',
  aof_rewrite_in_progress: '0',
  rdb_last_cow_size: '50',
  total_forks: '3',
  master_replid: ID,
  master_repl_offset: '900',
  master_replid2: '0'.repeat(40),
  second_repl_offset: '-1',
  repl_backlog_active: '1',
  repl_backlog_size: '1048576',
  repl_backlog_first_byte_offset: '100',
  repl_backlog_histlen: '801',
};

function infoOf(fields: Record<string, string>): string {
  const lines = Object.entries({ ...COMMON, ...fields }).map(([name, value]) => `${name}:${value}`);
  return `# Server\r\n${lines.join('\r\n')}\r\n\r\n# Keyspace\r\ndb0:keys=7,expires=1,avg_ttl=0\r\ndb3:keys=5,expires=0,avg_ttl=0\r\n`;
}

describe('INFO', () => {
  it('tells of a leader, its place in history and who follows it', () => {
    const facts = parseProcessFacts(
      infoOf({
        role: 'master',
        connected_slaves: '2',
        slave0: 'ip=127.0.1.2,port=6300,state=online,offset=880,lag=1',
        slave1: 'ip=127.0.2.2,port=6301,state=wait_bgsave,offset=0,lag=0',
      }),
    );
    expect(facts).toEqual({
      runId: 'f00d',
      redisVersion: '7.0.15',
      role: 'leader',
      loading: false,
      position: { id: ID, offset: 900 },
      previous: null,
      backlog: { active: true, size: 1048576, firstByte: 100, length: 801 },
      replicas: [
        { address: '127.0.1.2', port: 6300, state: 'online', offset: 880, lag: 1 },
        { address: '127.0.2.2', port: 6301, state: 'wait_bgsave', offset: 0, lag: 0 },
      ],
      link: null,
      usedMemory: 1000,
      residentMemory: 2000,
      maxmemory: 4000,
      clientMemory: 30,
      replicationMemory: 40,
      keys: 12,
      totalForks: 3,
      saving: false,
      lastCowBytes: 50,
      uptimeSeconds: 17,
    });
  });

  it('tells of a follower, its link, and the history it had before', () => {
    const facts = parseProcessFacts(
      infoOf({
        role: 'slave',
        master_host: '127.0.1.1',
        master_port: '6300',
        master_link_status: 'up',
        master_sync_in_progress: '0',
        slave_repl_offset: '890',
        master_replid2: OLD,
        second_repl_offset: '500',
      }),
    );
    expect(facts.role).toBe('follower');
    expect(facts.link).toEqual({
      address: '127.0.1.1',
      port: 6300,
      up: true,
      synchronising: false,
      offset: 890,
    });
    expect(facts.previous).toEqual({ id: OLD, offset: 500 });
  });

  it('tells of a fork in progress, and of loading', () => {
    expect(parseProcessFacts(infoOf({ role: 'master', rdb_bgsave_in_progress: '1' })).saving).toBe(true);
    expect(parseProcessFacts(infoOf({ role: 'master', loading: '1' })).loading).toBe(true);
  });

  it('of another Redis than ours is refused, naming the field', () => {
    const old = infoOf({ role: 'master' }).replace(/total_forks:3\r\n/, '');
    expect(() => parseProcessFacts(old)).toThrow(FleetError);
    expect(() => parseProcessFacts(old)).toThrow(/no field "total_forks" \(Redis version: 7\.0\.15\)/);
  });
});
