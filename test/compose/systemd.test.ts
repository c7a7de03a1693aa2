import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { PROJECT, isKnownVariable, readProjectFile, readSources, unknownToCommandLine } from './project.js';

/** Options that give each start a mount namespace of its own. */
const NAMESPACES =
  /^(Private|Protect(System|Home|Kernel|Control|Proc)|ReadOnlyPaths|ReadWritePaths|TemporaryFileSystem|Bind|Dynamic)/;

function settings(unit: string): ReadonlyMap<string, string> {
  const lines = readProjectFile(`deploy/systemd/redis-fleet-${unit}.service`)
    .split('\n')
    .filter((line) => /^[A-Z]\w+=/.test(line));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
}

describe('the systemd units', () => {
  it.each(['agent', 'worker'])('run a command of redis-fleet: %s', (unit) => {
    const [program, ...args] = (settings(unit).get('ExecStart') ?? '').split(' ');
    expect(program).toBe('/opt/redis-fleet/bin/redis-fleet');
    expect(args[0]).toBe(unit);
    expect(unknownToCommandLine(args)).toBeNull();
  });

  it.each(['agent', 'worker'])('give the %s the time that it takes to end well', (unit) => {
    expect(Number(settings(unit).get('TimeoutStopSec'))).toBeGreaterThan(20);
  });

  it('leave Redis alone when the agent stops, restarts, or loses a process to the kernel', () => {
    const agent = settings('agent');
    expect(agent.get('KillMode')).toBe('process');
    expect(agent.get('OOMPolicy')).toBe('continue');
    expect([...agent.keys()].filter((key) => NAMESPACES.test(key))).toEqual([]);
  });

  it('are the only ones: nothing starts a Redis process at boot', () => {
    const units = readdirSync(path.join(PROJECT, 'deploy/systemd')).filter((file) =>
      file.endsWith('.service'),
    );
    expect(units.toSorted()).toEqual(['redis-fleet-agent.service', 'redis-fleet-worker.service']);
  });

  it.each(['agent', 'worker'])('have an example of the settings that the %s reads', (unit) => {
    const sources = readSources();
    const named = [...readProjectFile(`deploy/systemd/${unit}.env.example`).matchAll(/^([A-Z_]+)=.+$/gm)].map(
      ([, name = '']) => name,
    );
    expect(named).toContain('REDIS_FLEET_CREDENTIALS');
    const execStart = settings(unit).get('ExecStart') ?? '';
    for (const name of named) {
      expect(execStart.includes(`\${${name}}`) || isKnownVariable(name, sources), name).toBe(true);
    }
    for (const [, name = ''] of execStart.matchAll(/\$\{(\w+)\}/g)) expect(named).toContain(name);
    expect(settings(unit).get('EnvironmentFile')).toBe(`/etc/redis-fleet/${unit}.env`);
  });
});
