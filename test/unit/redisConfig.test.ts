import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redisConfiguration, usersFile, type ConfigurationInput } from '../../src/fleet/redisConfig.js';

const MiB = 1024 * 1024;

const inputs: fc.Arbitrary<ConfigurationInput> = fc.record({
  process: fc.record({
    database: fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?$/),
    port: fc.integer({ min: 1, max: 65535 }),
    maxmemory: fc.integer({ min: MiB, max: 1024 ** 4 }),
    backlogBytes: fc.integer({ min: MiB, max: 1024 ** 3 }),
  }),
  address: fc.ipV4(),
  files: fc.record({
    directory: fc.string({ minLength: 1, unit: 'binary' }),
    users: fc.string({ minLength: 1 }),
    log: fc.string({ minLength: 1 }),
    pid: fc.string({ minLength: 1 }),
  }),
  replicationPassword: fc.string({ minLength: 1, unit: 'binary' }),
});

/** A configuration as Redis reads it: name → values, the last one wins. */
function settingsOf(text: string): ReadonlyMap<string, string> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const space = line.indexOf(' ');
      return [line.slice(0, space), line.slice(space + 1)] as const;
    }),
  );
}

describe('the configuration of every process', () => {
  it('has gate A shut, whatever the process, the paths and the passwords', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const settings = settingsOf(redisConfiguration(input));
        expect(settings.get('repl-diskless-sync')).toBe('yes');
        expect(settings.get('repl-diskless-sync-delay')).toBe('2147483647');
        expect(settings.get('repl-diskless-sync-max-replicas')).toBe('0');
      }),
    );
  });

  it('never forks by itself, and never restarts with a place in another history', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const settings = settingsOf(redisConfiguration(input));
        expect(settings.get('save')).toBe('""');
        expect(settings.get('appendonly')).toBe('no');
        expect(settings.get('stop-writes-on-bgsave-error')).toBe('no');
        expect(settings.get('replicaof')).toBe('127.0.0.1 1');
        expect(settings.get('repl-backlog-ttl')).toBe('0');
        expect(settings.get('daemonize')).toBe('no');
      }),
    );
  });

  it('says each setting once, so that none is undone further down', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const names = redisConfiguration(input)
          .split('\n')
          .filter((line) => line !== '' && !line.startsWith('#'))
          .map((line) => line.split(' ', 1)[0]);
        expect(new Set(names).size).toBe(names.length);
      }),
    );
  });

  it('lets no password and no path end its line or its quotes', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const settings = settingsOf(redisConfiguration(input));
        for (const name of ['masterauth', 'dir', 'aclfile', 'logfile', 'pidfile']) {
          expect(settings.get(name)).toMatch(/^"(?:[^"\\]|\\["\\]|\\x[0-9a-f]{2})*"$/);
        }
      }),
    );
  });

  it('binds to its own address only, protected, without debugging or modules over a connection', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const settings = settingsOf(redisConfiguration(input));
        expect(settings.get('bind')).toBe(input.address);
        expect(settings.get('port')).toBe(String(input.process.port));
        expect(settings.get('protected-mode')).toBe('yes');
        expect(settings.get('enable-debug-command')).toBe('no');
        expect(settings.get('maxmemory-policy')).toBe('noeviction');
      }),
    );
  });
});

describe('the users', () => {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  const users = (): string[] =>
    usersFile({ administrator: hash('one'), replication: hash('two'), application: hash('three') })
      .trimEnd()
      .split('\n');

  it('are three, each with its own hash and never a password', () => {
    const [administrator, replication, application] = users();
    expect(administrator).toBe(`user redis-fleet on #${hash('one')} ~* &* +@all`);
    expect(replication).toContain(`user replication on #${hash('two')}`);
    expect(application).toContain(`user default on #${hash('three')}`);
    expect(users().join('\n')).not.toMatch(/[#>]one|two|three/);
  });

  it('shut gate B: a follower may PSYNC and never SYNC', () => {
    const rules = users()[1]?.split(' ') ?? [];
    expect(rules).toContain('-@all');
    expect(rules).toContain('+psync');
    expect(rules.some((rule) => rule === '+sync' || rule === '+@all' || rule === 'allcommands')).toBe(false);
  });

  it('give applications no command that forks, configures or re-points', () => {
    const rules = users()[2]?.split(' ') ?? [];
    expect(rules.slice(rules.indexOf('+@all'))).toEqual([
      '+@all',
      '-@admin',
      '-@dangerous',
      '+info',
      '+role',
    ]);
  });

  it('refuse a password that was not hashed', () => {
    expect(() =>
      usersFile({ administrator: 'one', replication: hash('two'), application: hash('three') }),
    ).toThrow(/redis-fleet is not hashed/);
  });
});
