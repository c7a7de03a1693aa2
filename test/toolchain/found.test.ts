import { lstatSync, readlinkSync, renameSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Stage } from './stage.js';

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => {
  stage.remove();
});

describe('scripts/toolchain takes what is there', () => {
  it('links what PATH has, says where each came from, and asks nothing else of the machine', async () => {
    const redis = stage.redis('7.0.15');
    stage.temporal('1.9.1');
    const consul = stage.consul('1.20.0');

    const { code, stdout, stderr } = await stage.run();

    expect(stderr).toContain(`redis-server 7.0.15, from PATH (${redis})`);
    expect(stderr).toContain(`consul 1.20.0, from PATH (${consul})`);
    expect(code).toBe(0);
    expect(stdout).toBe('');
    for (const name of ['redis-server', 'redis-cli', 'redis-check-rdb', 'temporal', 'consul']) {
      expect(readlinkSync(stage.tools(`bin/${name}`))).toBe(path.join(stage.programs, name));
    }
    expect(stage.calls()).toEqual([]);
  });

  it('prints the directory to put on PATH, and nothing else, on stdout', async () => {
    stage.redis('7.0.15');
    stage.temporal('1.9.1');
    stage.consul('1.20.0');
    const { stdout } = await stage.run(['--print-path']);
    expect(stdout).toBe(`${stage.tools('bin')}\n`);
  });

  it('does not mistake its own links for what PATH has', async () => {
    stage.redis('7.0.15');
    stage.temporal('1.9.1');
    stage.consul('1.20.0');
    await stage.run();
    const { code } = await stage.run([], { first: [stage.tools('bin')] });
    expect(code).toBe(0);
    expect(readlinkSync(stage.tools('bin/consul'))).toBe(path.join(stage.programs, 'consul'));
  });

  it.each([
    ['redis 6.0.16', 'redis-server', (at: Stage, folder: string) => at.redis('6.0.16', folder)],
    ['redis 8.0.0', 'redis-server', (at: Stage, folder: string) => at.redis('8.0.0', folder)],
    [
      'valkey under that name',
      'redis-server',
      (at: Stage, folder: string) => {
        at.redis('7.0.15', folder);
        return at.program('redis-server', "echo 'Valkey server v=8.1.0 sha=0'", folder);
      },
    ],
    ['temporal 0.13.0', 'temporal', (at: Stage, folder: string) => at.temporal('0.13.0', folder)],
    ['consul 1.14.11', 'consul', (at: Stage, folder: string) => at.consul('1.14.11', folder)],
    [
      'a consul that does not run',
      'consul',
      (at: Stage, folder: string) => at.program('consul', 'exit 127', folder),
    ],
  ])('passes over %s on PATH for one that fits further on', async (_what, tool, misfit) => {
    stage.redis('6.2.0');
    stage.temporal('1.0.0');
    stage.consul('1.15.0');
    const first = path.join(stage.directory, 'first');
    misfit(stage, first);

    const { code } = await stage.run([], { first: [first] });

    expect(code).toBe(0);
    expect(readlinkSync(stage.tools(`bin/${tool}`))).toBe(path.join(stage.programs, tool));
  });

  it('finds the server in a package that has it only under the name redis-check-rdb', async () => {
    stage.temporal('1.9.1');
    stage.consul('1.20.0');
    stage.program('redis-cli', 'exit 0');
    const both = stage.program(
      'redis-check-rdb',
      'if [[ ${0##*/} == redis-server ]]; then echo "Redis server v=7.0.15 sha=0"; else exit 1; fi',
    );

    const { code, stderr } = await stage.run();

    expect(stderr).toContain('redis-server 7.0.15');
    expect(code).toBe(0);
    expect(readlinkSync(stage.tools('bin/redis-server'))).toBe(both);
  });

  it('builds its own consul instead of one on PATH that is too old, and keeps it in a moved checkout', async () => {
    stage.redis('7.0.15');
    stage.temporal('1.9.1');
    stage.consul('1.14.11');
    stage.go();

    expect((await stage.run()).stderr).toContain('consul 1.20.0, from .tools/consul');

    const moved = path.join(stage.directory, 'moved');
    renameSync(stage.checkout, moved);
    const { code, stderr } = await stage.run([], { checkout: moved });
    expect(stderr).toContain('consul 1.20.0, from .tools/consul');
    expect(code).toBe(0);
    expect(existsSync(path.join(moved, '.tools/bin/consul'))).toBe(true);
    expect(stage.calls().filter((call) => call.startsWith('go '))).toHaveLength(1);
  });

  it('repairs a link that a person bent', async () => {
    stage.redis('7.0.15');
    stage.temporal('1.9.1');
    stage.consul('1.20.0');
    mkdirSync(stage.tools('bin'), { recursive: true });
    symlinkSync('/nowhere', stage.tools('bin/temporal'));
    expect((await stage.run()).code).toBe(0);
    expect(lstatSync(stage.tools('bin/temporal')).isSymbolicLink()).toBe(true);
    expect(readlinkSync(stage.tools('bin/temporal'))).toBe(path.join(stage.programs, 'temporal'));
  });

  it('refuses an option that it does not know', async () => {
    const { code, stderr } = await stage.run(['--fast']);
    expect(code).toBe(2);
    expect(stderr).toContain('usage: scripts/toolchain');
  });
});
