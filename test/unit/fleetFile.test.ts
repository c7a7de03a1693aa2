import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { DEFAULT_RELOCATION, DEFAULT_BACKUPS } from '../../src/fleet/fleet.js';
import { FleetError } from '../../src/fleet/errors.js';
import { parseFleetFile } from '../../src/fleet/fleetFile.js';
import { didYouMean, NAME_PATTERN } from '../../src/fleet/nameRule.js';
import { fleetOf, fleetText, FLEET_TEXT, problemsOf } from './fleetText.js';

const MiB = 1024 ** 2;

describe('a fleet file that is right', () => {
  test('becomes a fleet, with sizes in bytes and durations in milliseconds', () => {
    const fleet = fleetOf();
    expect(fleet.name).toBe('demo');
    expect(fleet.servers[0]).toEqual({
      name: 'redis-01',
      hosts: [
        { name: 'redis-01-a', zone: 'az-a', address: '127.0.1.1', memory: 1024 * MiB },
        { name: 'redis-01-b', zone: 'az-b', address: '127.0.1.2', memory: 1024 * MiB },
      ],
    });
    expect(fleet.databases[2]).toEqual({
      name: 'carts-00',
      server: 'redis-02',
      port: 6310,
      maxmemory: 256 * MiB,
    });
  });

  test('may leave out the settings, all or some', () => {
    const defaults = {
      detection: { downAfter: 1_000, policy: 'automatic' },
      leases: { ttl: 5_000 },
      backups: DEFAULT_BACKUPS,
      relocation: DEFAULT_RELOCATION,
    };
    expect(fleetOf()).toMatchObject(defaults);
    const some = parseFleetFile(
      `${FLEET_TEXT}detection: { policy: ask }\nbackups: { keep: { daily: 0 } }\n`,
      'f',
    );
    expect(some.detection).toMatchObject({ downAfter: 1_000, policy: 'ask' });
    expect(some.backups).toEqual({ ...defaults.backups, keep: { hourly: 24, daily: 0, weekly: 4 } });
  });

  test('the example says the defaults in full', () => {
    const example = parseFleetFile(readFileSync('examples/fleet.yaml', 'utf8'), 'examples/fleet.yaml');
    const { detection, leases, backups, relocation } = fleetOf();
    expect(example).toMatchObject({ detection, leases, backups, relocation });
    expect(example.databases).toHaveLength(4);
  });

  test('may have IPv6 addresses, each in one spelling', () => {
    const fleet = fleetOf(['127.0.1.1', '"fd00:0::1"'], ['127.0.1.2', '"fd00::2"']);
    expect(fleet.servers[0]?.hosts.map(({ address }) => address)).toEqual(['fd00::1', 'fd00::2']);
  });

  test('of any size means what was written', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
    const shape = fc.record({
      fleet: name,
      servers: fc.uniqueArray(name, { minLength: 1, maxLength: 8 }),
      perServer: fc.integer({ min: 0, max: 16 }),
      ttl: fc.integer({ min: 1, max: 600 }),
    });
    fc.assert(
      fc.property(shape, ({ fleet, servers, perServer, ttl }) => {
        const host = (server: string, n: number, side: number): object => ({
          name: `${server}-${'ab'.charAt(side)}`,
          zone: `az-${side === 0 ? 'a' : 'b'}`,
          address: `10.${n}.0.${side + 1}`,
          memory: '64GiB',
        });
        const written = {
          fleet,
          servers: servers.map((server, n) => ({
            name: server,
            hosts: [host(server, n, 0), host(server, n, 1)],
          })),
          databases: servers.flatMap((server, n) =>
            Array.from({ length: perServer }, (_, index) => ({
              name: `data${n}x${index}`,
              server,
              port: 7000 + index,
              maxmemory: '1GiB',
            })),
          ),
          leases: { ttl: `${ttl}s` },
        };
        // A server may be called what a database is called, which is refused by its own rule.
        fc.pre(!servers.some((server) => /^data\d/.test(server)));
        const parsed = parseFleetFile(stringify(written), 'f');
        expect(parsed.name).toBe(fleet);
        expect(parsed.leases.ttl).toBe(ttl * 1_000);
        expect(parsed.servers.map((server) => server.name)).toEqual(servers);
        expect(parsed.databases).toHaveLength(servers.length * perServer);
        // JSON is YAML: an applied fleet says the same whichever way it was written.
        expect(parseFleetFile(JSON.stringify(written), 'f')).toEqual(parsed);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a fleet file that is wrong', () => {
  test('is refused as that, and names line, column and field', () => {
    const text = fleetText(['port: 6310', 'port: 70000']);
    expect(() => parseFleetFile(text, 'my.yaml')).toThrow(FleetError);
    expect(() => parseFleetFile(text, 'my.yaml')).toThrow(
      /^my\.yaml:14:47: databases\[2\]\.port: 70000 is not a whole number from 1024 to 65535, write for example 6300 instead\.$/,
    );
    expect(kindOf(() => parseFleetFile(text, 'f'))).toBe('InvalidFleetFile');
  });

  const single: readonly (readonly [story: string, from: string, to: string, says: string])[] = [
    ['a port that is text', 'port: 6310', 'port: high', 'databases[2].port: "high" is not a whole number'],
    [
      'a size without a unit that fits',
      '256MiB }',
      '256MB }',
      'maxmemory: "256MB" has a unit that is not one of',
    ],
    ['a size that is far too small', '256MiB }', '256 }', 'maxmemory: 256 is under 1 MiB'],
    ['an unknown field', 'zone: az-a,', 'zone: az-a, cpu: 4,', 'hosts[0].cpu: there is no such field here'],
    [
      'a misspelt field',
      'zone: az-a,',
      'zone: az-a, adress: 1,',
      'adress: there is no such field here, write address',
    ],
    [
      'a misspelt section',
      'databases:',
      'detektion: {}\ndatabases:',
      'detektion: there is no such field here, write detection',
    ],
    [
      'a missing field',
      'zone: az-a, ',
      '',
      'servers[0].hosts[0].zone: this is missing, write for example az-a',
    ],
    ['an empty field', 'zone: az-a,', 'zone: ,', 'servers[0].hosts[0].zone: this is empty'],
    [
      'a name with capitals',
      'name: carts-00',
      'name: Carts_00',
      'databases[2].name: "Carts_00" is not a name',
    ],
    ['a name that is too long', 'name: carts-00', `name: ${'c'.repeat(64)}`, 'is not a name (1 to 63'],
    [
      'a name that is a number',
      'fleet: demo',
      'fleet: 1',
      'fleet: 1 is not text, write for example demo instead',
    ],
    [
      'an unknown server',
      'server: redis-02',
      'server: redis-2',
      'there is no server redis-2 in this file, write for example redis-02',
    ],
    [
      'a database called as its server',
      'name: carts-00',
      'name: redis-02',
      'redis-02 holds the name of its server',
    ],
    [
      'a database that holds its server',
      'name: carts-00',
      'name: x-redis-02-y',
      'x-redis-02-y holds the name of its server',
    ],
    [
      "a database called as Consul's own service",
      'name: carts-00',
      'name: consul',
      'consul is a service of Consul itself',
    ],
    [
      'a database twice',
      'name: sessions-01',
      'name: sessions-00',
      'sessions-00 is the name of databases[0] already (line 12)',
    ],
    [
      'a server twice',
      'name: redis-02\n',
      'name: redis-01\n',
      'redis-01 is the name of servers[0] already (line 3)',
    ],
    [
      'a host twice',
      'name: redis-02-a',
      'name: redis-01-a',
      'redis-01-a is the name of servers[0].hosts[0] already (line 5)',
    ],
    [
      'two hosts at one address',
      '127.0.2.1',
      '127.0.1.1',
      '127.0.1.1 is the address of servers[0].hosts[0] already (line 5)',
    ],
    [
      'one address and port twice',
      'port: 6301',
      'port: 6300',
      '127.0.1.1:6300 is taken by database sessions-00 on host redis-01-a',
    ],
    [
      'a server in one zone',
      'zone: az-c',
      'zone: az-b',
      'host redis-02-b is in zone az-b, and so is redis-02-a',
    ],
    [
      'too much for a host',
      '127.0.2.1, memory: 1GiB',
      '127.0.2.1, memory: 255MiB',
      'the maxmemory of all databases on host redis-02-a is 256 MiB together, and the host has 255 MiB',
    ],
    ['an address that is a name', '127.0.2.1', 'localhost', 'address: "localhost" is not an IP address'],
    ['an address of everybody', '127.0.2.1', '0.0.0.0', '0.0.0.0 is no address of a single host'],
    [
      'a third host',
      '  - name: redis-02\n',
      '      - { name: c, zone: az-c, address: 127.0.1.3, memory: 1GiB }\n  - name: redis-02\n',
      'servers[0].hosts: a server has two hosts, not 3',
    ],
    [
      'a list that is none',
      'databases:\n',
      'databases: none\nx:\n',
      'databases: "none" is not a list of databases',
    ],
    [
      'a policy that is none',
      'databases:',
      'detection: { policy: always }\ndatabases:',
      'detection.policy: "always" is not a policy, write automatic, ask or off',
    ],
    [
      'a duration without a unit',
      'databases:',
      'leases: { ttl: 5 }\ndatabases:',
      'leases.ttl: 5 has no unit, write for example 5s or 5ms',
    ],
    [
      'a duration out of range',
      'databases:',
      'leases: { ttl: 1ms }\ndatabases:',
      'leases.ttl: "1ms" is not from 1 s to 10 min, write 1s instead',
    ],
    [
      'a section that is none',
      'databases:',
      'leases: 5s\ndatabases:',
      'leases: "5s" is not what belongs here, write a mapping',
    ],
    [
      'a store of another kind',
      'databases:',
      'backups: { store: /tmp }\ndatabases:',
      'backups.store: "/tmp" is not a backup store',
    ],
    ['a key twice', 'zone: az-c,', 'zone: az-c, zone: az-c,', 'zone is written twice in the same place'],
    ['an anchor', 'zone: az-c', 'zone: &z az-c', 'the anchor &z is not used in a fleet file'],
    ['a tab', '  - name: redis-02', '\t- name: redis-02', 'a tab is used for indentation'],
    ['a second document', 'databases:', '---\ndatabases:', 'a second document begins here'],
  ];
  test.each(single)('%s', (_story, from, to, says) => {
    const problems = problemsOf(fleetText([from, to]));
    expect(
      problems.some((problem) => problem.includes(says)),
      problems.join('\n'),
    ).toBe(true);
    for (const problem of problems) expect(problem).toMatch(/^fleet\.yaml:\d+:\d+: .+\.$/);
  });

  test('an alias is refused where it is used', () => {
    const problems = problemsOf(fleetText(['zone: az-a', 'zone: &z az-a'], ['zone: az-c', 'zone: *z']));
    expect(problems.join('\n')).toContain('*z stands for another value');
  });

  test.each([
    ['', 'the file is empty'],
    ['# nothing yet\n', 'the file is empty'],
    ['fleet', '"fleet" is not a fleet'],
    ['- 1\n', 'a list is not a fleet'],
    ['{', 'this is not YAML'],
    ['fleet: "demo', 'this is not YAML'],
  ])('%j is not a fleet at all', (text, says) => {
    expect(problemsOf(text).join('\n')).toContain(says);
  });

  test('brackets without end are refused, not followed to the end of the stack', () => {
    expect(problemsOf('['.repeat(20_000)).join('\n')).toContain('this is not YAML');
  });

  test('every problem is listed, in the order of the lines', () => {
    const problems = problemsOf(
      fleetText(
        ['fleet: demo', 'fleet: Demo'],
        ['127.0.1.1, memory: 1GiB', '127.0.1.1, memory: 1GB'],
        ['zone: az-c', 'zone: az-b'],
        ['port: 6301', 'port: 6301x'],
        ['server: redis-02', 'server: redis-22'],
      ),
    );
    expect(problems.map((problem) => problem.split(': ')[1])).toEqual([
      'fleet',
      'servers[0].hosts[0].memory',
      'servers[1].hosts[1].zone',
      'databases[1].port',
      'databases[2].server',
    ]);
  });

  test('whatever it holds, it is a fleet or a list of sentences, never a crash', () => {
    const piece = fc.constantFrom(
      'fleet',
      ':',
      ' ',
      '\n',
      '- ',
      '{',
      '}',
      '[',
      ']',
      ',',
      '&a',
      '*a',
      '!!x',
      '"',
      '6300',
      'servers',
      '?',
      '|',
      '#',
      '\t',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), fc.nat(FLEET_TEXT.length), (pieces, at) => {
        const text = FLEET_TEXT.slice(0, at) + pieces.join('') + FLEET_TEXT.slice(at);
        try {
          expect(parseFleetFile(text, 'f').servers.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(FleetError);
          for (const line of (error as FleetError).message.split('\n'))
            expect(line).toMatch(/^f:\d+:\d+: .+\.$/);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('names', () => {
  test('what is proposed in place of a wrong name is a right one', () => {
    fc.assert(
      fc.property(fc.string(), (written) => {
        const proposal = /write (\S+) instead/.exec(problemOfName(written) ?? '')?.[1];
        if (proposal !== undefined && proposal !== 'for') expect(proposal).toMatch(NAME_PATTERN);
      }),
    );
  });

  test.each([
    ['adress', 'address'],
    ['maxmemroy', 'maxmemory'],
    ['PORT', 'port'],
    ['colour', null],
  ])('%s was meant to be %s', (written, meant) => {
    expect(didYouMean(written, ['name', 'address', 'port', 'maxmemory'])).toBe(meant);
  });
});

function problemOfName(written: string): string | null {
  const text = fleetText(['fleet: demo', `fleet: ${JSON.stringify(written)}`]);
  try {
    parseFleetFile(text, 'f');
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function kindOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof FleetError) return error.kind;
  }
  return 'no FleetError';
}
