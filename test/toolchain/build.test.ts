import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const PROJECT = path.resolve(import.meta.dirname, '../..');

let checkout: string;
beforeEach(() => {
  checkout = mkdtempSync(path.join(os.tmpdir(), 'build-'));
  for (const folder of ['scripts', 'bin']) {
    cpSync(path.join(PROJECT, folder), path.join(checkout, folder), { recursive: true });
  }
});
afterEach(() => {
  rmSync(checkout, { recursive: true, force: true });
});

function write(file: string, content: unknown): void {
  const target = path.join(checkout, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, typeof content === 'string' ? content : JSON.stringify(content));
}

function run(program: string, args: readonly string[] = [], options: { cwd?: string; PATH?: string } = {}) {
  return spawnSync(program, args, {
    cwd: options.cwd ?? checkout,
    encoding: 'utf8',
    env: { ...process.env, ...(options.PATH === undefined ? {} : { PATH: options.PATH }) },
  });
}

/** A PATH with only these programs. */
function onlyPath(...names: readonly string[]): string {
  const folder = path.join(checkout, 'only');
  mkdirSync(folder);
  for (const name of names) {
    const found = run('bash', ['-c', `type -P ${name}`]).stdout.trim();
    symlinkSync(found, path.join(folder, name));
  }
  return folder;
}

describe('bin/redis-fleet', () => {
  it('says what to do when the project was not built', () => {
    const { status, stderr } = run(path.join(checkout, 'bin/redis-fleet'), ['status']);
    expect(status).toBe(2);
    expect(stderr).toBe(`redis-fleet is not built: run ${checkout}/scripts/build first.\n`);
  });

  it('works from any directory, through links of links, and hands on arguments and exit code', () => {
    write('package.json', { type: 'module' });
    write('dist/cli/main.js', 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;');
    symlinkSync(path.join(checkout, 'bin/redis-fleet'), path.join(checkout, 'one'));
    symlinkSync('one', path.join(checkout, 'two'));
    const { status, stdout } = run(path.join(checkout, 'two'), ['agent', '--host', 'a b'], { cwd: '/' });
    expect(stdout).toBe('["agent","--host","a b"]\n');
    expect(status).toBe(7);
  });
});

describe('scripts/build', () => {
  it('names what is missing when there is no npm', () => {
    const PATH = onlyPath('bash', 'env', 'dirname', 'readlink', 'node', 'cat');
    const { status, stderr } = run(path.join(checkout, 'scripts/build'), [], { PATH });
    expect(stderr).toContain('npm is not on PATH: install Node.js 20.3 or newer');
    expect(status).toBe(1);
  });

  it('refuses a Node.js that is too old, with its version', () => {
    const folder = onlyPath('bash', 'env', 'dirname', 'readlink', 'cat', 'npm');
    writeFileSync(path.join(folder, 'node'), '#!/bin/sh\n[ "$1" = --version ] && echo v18.19.0\nexit 1\n', {
      mode: 0o755,
    });
    const { status, stderr } = run(path.join(checkout, 'scripts/build'), [], { PATH: folder });
    expect(stderr).toContain('node is v18.19.0, but 20.3 or newer is needed');
    expect(status).toBe(1);
  });

  describe('knows whether node_modules is what package-lock.json says', () => {
    const locked = {
      '': { name: 'redis-fleet' },
      'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
      'node_modules/of-another-platform': { version: '1.0.0', integrity: 'sha512-o', optional: true },
    };
    const installed = { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } };

    it.each([
      ['all of it, but for another platform', installed, 0],
      ['an interrupted installation', null, 1],
      ['a package missing', {}, 1],
      ['another version', { 'node_modules/a': { version: '1.0.1', integrity: 'sha512-a' } }, 1],
      [
        'the same version with other content',
        { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-b' } },
        1,
      ],
      ['a package too many', { ...installed, 'node_modules/b': { version: '1.0.0' } }, 1],
    ])('%s', (_what, packages, status) => {
      write('package-lock.json', { packages: locked });
      if (packages !== null) write('node_modules/.package-lock.json', { packages });
      expect(run('node', ['scripts/build-state.mjs', 'packages']).status).toBe(status);
    });
  });

  it('knows whether dist/ was built from the sources as they are', () => {
    const stale = () => run('node', ['scripts/build-state.mjs', 'dist']).status;
    write('src/cli/main.ts', 'one');
    expect(stale()).toBe(1);

    write('dist/cli/main.js', 'one, compiled');
    write('dist/.built-from', run('node', ['scripts/build-state.mjs', 'print']).stdout);
    expect(stale()).toBe(0);

    write('src/cli/main.ts', 'two');
    expect(stale()).toBe(1);
    write('src/cli/main.ts', 'one');
    expect(stale()).toBe(0);

    write('tsconfig.json', '{}');
    expect(stale()).toBe(1);
    rmSync(path.join(checkout, 'tsconfig.json'));

    rmSync(path.join(checkout, 'dist/cli/main.js'));
    expect(stale()).toBe(1);
  });
});

describe('scripts/test ends with a count', () => {
  const file = (name: string, states: readonly string[], status = 'passed', message = '') => ({
    name: path.join('/somewhere', name),
    status,
    message,
    assertionResults: states.map((state) => ({ status: state })),
  });
  const count = (report: unknown, runnerStatus: number) => {
    if (report !== null) write('results.json', report);
    const { status, stdout } = run('node', ['scripts/test-count.mjs', `${runnerStatus}:results.json`]);
    const lines = stdout.trimEnd().split('\n');
    return { status, last: lines.at(-1), before: lines.slice(0, -1).join('\n') };
  };

  it('of all files', () => {
    const report = { testResults: [file('a', ['passed', 'passed']), file('b', ['passed'])] };
    expect(count(report, 0)).toEqual({ status: 0, last: '3 passed, 0 failed', before: '' });
  });

  it('of all groups', () => {
    write('one.json', { testResults: [file('a', ['passed'])] });
    write('none.json', { testResults: [] });
    write('two.json', {
      testResults: [{ ...file('b', ['failed'], 'failed'), startTime: 0, endTime: 90_000 }],
    });
    const runs = ['0:one.json', '0:none.json', '1:two.json'];
    const { status, stdout } = run('node', ['scripts/test-count.mjs', ...runs]);
    const [slow = '', last] = stdout.trimEnd().split('\n').slice(-2);
    expect({ status, last }).toEqual({ status: 1, last: '1 passed, 1 failed' });
    expect(slow).toMatch(/^slow: 90 s .*somewhere\/b$/);
  });

  describe('a file of real servers that fails', () => {
    const here = (name: string, state: string) => ({
      ...file(name, ['passed', state], state),
      name: path.join(checkout, name),
    });
    const again = (...results: readonly object[]) => {
      write('one.json', { testResults: results });
      return run('node', ['scripts/test-count.mjs', '--again', '1:one.json'])
        .stdout.split('\n')
        .filter(Boolean);
    };
    const permits = 'test/integration/permits.test.ts';

    it('is run once more, others are not, and none where many fail', () => {
      expect(again(here(permits, 'failed'), here('test/unit/plan.test.ts', 'failed'))).toEqual([permits]);
      const many = ['a', 'b', 'c', 'd', 'e'].map((name) => here(`test/chaos/${name}.test.ts`, 'failed'));
      expect(again(...many)).toEqual([]);
    });

    it.each([
      ['passed', 0, '2 passed, 0 failed', /again: .*permits.test.ts failed, and passed by itself/],
      ['failed', 1, '1 passed, 1 failed', /^$/],
    ])('and counts as it then is: %s', (state, code, last, before) => {
      write('one.json', { testResults: [here(permits, 'failed')] });
      write('again.json', { testResults: [here(permits, state)] });
      const { status, stdout } = run('node', ['scripts/test-count.mjs', '1:one.json', `${code}:again.json`]);
      const lines = stdout.trim().split('\n');
      expect({ status, last: lines.at(-1) }).toEqual({ status: code, last });
      expect(lines.slice(0, -1).join('\n')).toMatch(before);
    });
  });

  it('that names the skipped', () => {
    const report = { testResults: [file('a', ['passed', 'pending', 'todo'])] };
    expect(count(report, 0)).toMatchObject({ status: 0, last: '1 passed, 0 failed, 2 skipped' });
  });

  it('that fails with a failed test', () => {
    const report = { testResults: [file('a', ['passed', 'failed'], 'failed')] };
    expect(count(report, 1)).toMatchObject({ status: 1, last: '1 passed, 1 failed' });
  });

  it('that fails with a file that could not be loaded', () => {
    const report = {
      testResults: [file('a', ['passed']), file('b', [], 'failed', 'Cannot find module\nat …')],
    };
    const { status, last, before } = count(report, 1);
    expect({ status, last }).toEqual({ status: 1, last: '1 passed, 1 failed' });
    expect(before).toContain('A test file failed outside of its tests: ');
    expect(before).toContain('somewhere/b. Cannot find module');
  });

  it('that fails when something failed outside of all tests', () => {
    expect(count({ testResults: [file('a', ['passed'])] }, 1)).toMatchObject({
      status: 1,
      last: '1 passed, 1 failed',
    });
  });

  it.each([
    ['no test was executed', { testResults: [] }, 0],
    ['all were skipped', { testResults: [file('a', ['pending'])] }, 0],
    ['the runner died', null, 137],
  ])('that fails when %s', (_what, report, runnerStatus) => {
    expect(count(report, runnerStatus).status).toBe(1);
    expect(count(report, runnerStatus).last).toMatch(/^0 passed, 1 failed/);
  });
});
