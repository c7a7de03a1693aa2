import { accessSync, chmodSync, constants, copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { readCredentials } from '../../src/connections/credentials.js';
import { parseFleetFile } from '../../src/fleet/fleetFile.js';
import { parseSize } from '../../src/fleet/quantities.js';
import {
  PROJECT,
  isKnownVariable,
  ownServices,
  readCompose,
  readProjectFile,
  readRawCompose,
  readSources,
  unknownToCommandLine,
} from './project.js';
import type { Service } from './project.js';

const compose = readCompose();
const services = Object.entries(compose.services);
const fleet = parseFleetFile(readProjectFile('deploy/compose/fleet.yaml'), 'deploy/compose/fleet.yaml');
const hosts = fleet.servers.flatMap((server) => server.hosts);
const hostServices = ownServices(compose).filter(([, { command }]) => command?.[0]?.endsWith('/host'));

function service(name: string): Service {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`);
  return found;
}

function networksOf({ networks = {} }: Service): Readonly<Record<string, { ipv4_address?: string }>> {
  return Array.isArray(networks)
    ? Object.fromEntries((networks as string[]).map((name) => [name, {}]))
    : (networks as Record<string, { ipv4_address?: string }>);
}

function addressOf(name: string): string | undefined {
  return networksOf(service(name))['fleet']?.ipv4_address;
}

describe('docker-compose.yml is valid', () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  // Go's words for durations; the schema's only format that is not a standard one.
  ajv.addFormat('duration', /^(\d+(\.\d+)?(us|ms|s|m|h))+$/);
  const validate = ajv.compile(
    JSON.parse(readProjectFile('test/compose/schema/compose-spec.json')) as object,
  );

  it('by the schema of the Compose Specification', () => {
    validate(readRawCompose());
    expect(validate.errors ?? []).toEqual([]);
  });

  it('and the schema would have found a misspelt key', () => {
    const worker = { ...service('worker'), restrat: 'always' };
    expect(validate({ services: { worker } })).toBe(false);
  });

  it('without any variable set: each has a default', () => {
    const variables = readProjectFile('docker-compose.yml').match(/\$\{[^}]*\}/g) ?? [];
    expect(variables.length).toBeGreaterThan(0);
    for (const variable of variables) expect(variable).toMatch(/^\$\{[A-Z_]+:-.+\}$/);
  });
});

describe('docker-compose.yml names only what there is', () => {
  it('networks, volumes, configs and secrets, and all of them are used', () => {
    const used = (pick: (service: Service) => readonly string[]) =>
      [...new Set(services.flatMap(([, one]) => pick(one)))].toSorted();
    expect(used((one) => Object.keys(networksOf(one)))).toEqual(Object.keys(compose.networks).toSorted());
    expect(used((one) => (one.volumes ?? []).map((volume) => volume.split(':')[0] ?? ''))).toEqual(
      Object.keys(compose.volumes).toSorted(),
    );
    expect(used((one) => (one.configs ?? []).map(({ source }) => source))).toEqual(
      Object.keys(compose.configs).toSorted(),
    );
    expect(used((one) => one.secrets ?? [])).toEqual(Object.keys(compose.secrets).toSorted());
  });

  it('files of the project', () => {
    for (const { file } of [...Object.values(compose.configs), ...Object.values(compose.secrets)]) {
      expect(existsSync(path.join(PROJECT, file)), file).toBe(true);
    }
  });

  it('services to wait for, which can be waited for in that way', () => {
    for (const [, { depends_on: waits = {} }] of services) {
      for (const [name, { condition }] of Object.entries(waits)) {
        if (condition === 'service_healthy') expect(service(name).healthcheck, name).toBeDefined();
        else expect(service(name), name).toBeDefined();
      }
    }
  });

  it.each(ownServices(compose).map(([name, { command }]) => [name, command ?? []] as const))(
    'a command of the image for %s',
    (_name, command) => {
      const [program = '', ...args] = command;
      if (program === 'redis-fleet') expect(unknownToCommandLine(args)).toBeNull();
      else {
        const file = path.join(PROJECT, path.relative('/opt/redis-fleet', program));
        expect(() => {
          accessSync(file, constants.X_OK);
        }).not.toThrow();
      }
    },
  );

  it('(a command or an option that does not exist would be found)', () => {
    expect(unknownToCommandLine(['serve'])).toMatch(/serve/);
    expect(unknownToCommandLine(['agent', '--hots', 'x'])).toBe('--hots');
  });

  it('commands in its comments that the command line knows', () => {
    const calls = [...readProjectFile('docker-compose.yml').matchAll(/^#.*\sredis-fleet ([a-z][a-z -]*)$/gm)];
    expect(calls.length).toBeGreaterThan(0);
    for (const [, args = ''] of calls) expect(unknownToCommandLine(args.split(' '))).toBeNull();
  });

  it('settings of Consul that Consul knows', () => {
    const known = spawnSync(process.env['REDIS_FLEET_BIN_CONSUL'] ?? 'consul', ['agent', '-help'], {
      encoding: 'utf8',
    });
    for (const flag of service('consul').command?.slice(1) ?? []) {
      expect(known.stdout + known.stderr).toContain(flag.split('=')[0] ?? '');
    }
  });

  it('settings that the program reads', () => {
    const sources = readSources();
    for (const [, { environment = {} }] of ownServices(compose)) {
      for (const name of Object.keys(environment)) expect(isKnownVariable(name, sources), name).toBe(true);
    }
  });

  it('addresses of Temporal and Consul that are theirs', () => {
    for (const [, { environment = {} }] of ownServices(compose)) {
      const [temporal = '', temporalPort = ''] = (environment['TEMPORAL_ADDRESS'] ?? '').split(':');
      expect(service(temporal).ports).toContain(`127.0.0.1:${temporalPort}:${temporalPort}`);
      const consul = new URL(environment['CONSUL_HTTP_ADDR'] ?? '');
      expect(service(consul.hostname).ports).toContain(`127.0.0.1:${consul.port}:${consul.port}`);
    }
  });
});

describe('the containers are the fleet', () => {
  it('one for each host of the fleet file, and no other', () => {
    expect(hostServices.map(([name]) => name).toSorted()).toEqual(hosts.map(({ name }) => name).toSorted());
    for (const [name, { command }] of hostServices) expect(command?.[1]).toBe(name);
  });

  it.each(hosts.map((host) => [host.name, host] as const))(
    '%s has its address and its memory',
    (name, host) => {
      expect(addressOf(name)).toBe(host.address);
      const limit = parseSize((service(name).mem_limit ?? '').replace(/^(\d+)g$/, '$1GiB'));
      // The agent, and a fork's copies, need room beside what Redis may plan with.
      expect(limit.ok && limit.value >= host.memory + 256 * 1024 ** 2).toBe(true);
    },
  );

  it('at addresses of their network that it gives to nobody else', () => {
    const [{ subnet, ip_range: given }] = compose.networks.fleet.ipam.config;
    expect(subnet).toMatch(/\.0\/24$/);
    expect(given).toBe(subnet.replace('.0/24', '.128/25'));
    const fixed = services.map(([name]) => addressOf(name)).filter((address) => address !== undefined);
    expect(new Set(fixed).size).toBe(fixed.length);
    for (const address of fixed) {
      expect(address.startsWith(subnet.replace('0/24', ''))).toBe(true);
      expect(Number(address.split('.')[3])).toBeLessThan(128);
    }
  });

  it('in two zones, each of which leads something', () => {
    expect(new Set(fleet.servers.map(({ hosts: [leader] }) => leader.zone))).toEqual(
      new Set(['az-a', 'az-b']),
    );
    for (const { name } of fleet.servers)
      expect(fleet.databases.some(({ server }) => server === name)).toBe(true);
  });

  it('under an init, which keeps Redis when the agent ends, and with time to end well', () => {
    for (const [name, host] of hostServices) {
      expect(host.init, name).toBe(true);
      expect(parseInt(host.stop_grace_period ?? '', 10)).toBeGreaterThan(20);
      const data = host.environment?.['REDIS_FLEET_DATA'];
      expect(host.volumes).toEqual([`${name}:${data ?? ''}`]);
    }
  });

  it('with the fleet file and the passwords where the settings say', () => {
    for (const [name, { environment = {}, configs = [], secrets = [] }] of ownServices(compose)) {
      expect(
        configs.map(({ target }) => target),
        name,
      ).toContain(environment['REDIS_FLEET_FILE']);
      const secret = path.relative('/run/secrets', environment['REDIS_FLEET_CREDENTIALS'] ?? '');
      expect(secrets, name).toContain(secret);
    }
  });

  it('with passwords that the program accepts from a private file', () => {
    const file = compose.secrets['redis-fleet-credentials']?.file ?? '';
    const folder = mkdtempSync(path.join(os.tmpdir(), 'credentials-'));
    try {
      const copy = path.join(folder, 'credentials.json');
      copyFileSync(path.join(PROJECT, file), copy);
      chmodSync(copy, 0o400);
      expect(Object.keys(readCredentials({ REDIS_FLEET_CREDENTIALS: copy }))).toHaveLength(3);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
