import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FLEET_TEXT, fleetText } from '../unit/fleetText.js';
import { cliProcess } from './cliRunner.js';

/** Nobody listens on port 1 of this address. */
const NOBODY = { CONSUL_HTTP_ADDR: '127.0.0.1:1', TEMPORAL_ADDRESS: '127.0.0.1:1', USER: 'ann' };

let folder: string;
let file: string;
let wrong: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'redis-fleet-cli-'));
  file = path.join(folder, 'fleet.yaml');
  wrong = path.join(folder, 'wrong.yaml');
  await writeFile(file, FLEET_TEXT);
  await writeFile(wrong, fleetText(['port: 6310', 'port: 99999'], ['zone: az-c', 'zone: az-b']));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe('the command line', () => {
  test('helps fast, and says what each command and exit code means', async () => {
    const runs = [
      await cliProcess({}, ['--help']),
      await cliProcess({}, ['--help']),
      await cliProcess({}, ['--help']),
    ];
    const [run] = runs;
    expect(run?.code).toBe(0);
    for (const command of [
      'plan',
      'apply',
      'status',
      'check',
      'runbook',
      'bring-up',
      'provision',
      'dev',
      'worker',
      'agent',
    ]) {
      expect(run?.out).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    }
    expect(run?.out).toContain('Exit codes: 0 well, 1 not well, 2 called wrongly.');
    // 100 ms alone on the machine; the bound leaves room for a busy one.
    expect(Math.min(...runs.map(({ ms }) => ms))).toBeLessThan(1_500);
  });

  test.each([
    [[], 'Usage: redis-fleet'],
    [['plann'], "unknown command 'plann'\n(Did you mean plan?)"],
    [['plan', '--nope'], "unknown option '--nope'"],
    [['plan', 'a', 'b'], 'too many arguments'],
    [['bring-up'], "missing required argument 'database'"],
    [['bring-up', 'x', '--way', 'fast'], 'It is one of own-files, backup, chain, full.'],
    [['bring-up', 'x', '--approve-fork'], '--approve-fork needs --reason'],
    [['runbook'], 'Usage: redis-fleet runbook'],
    [['runbook', 'abort', 'x'], "required option '--reason <text>' not specified"],
    [['runbook', 'abort', 'x', '--reason', ' '], 'abort needs --reason'],
    [['plan', 'a.yaml', '--file', 'b.yaml'], 'Two fleet files are named'],
    [['plan', '/does/not/exist.yaml'], 'The fleet file /does/not/exist.yaml cannot be read'],
  ])('%j is called wrongly', async (parameters, says) => {
    const run = await cliProcess(NOBODY, parameters);
    expect(run.err).toContain(says);
    expect(run.out).toBe('');
    expect(run.code).toBe(2);
  });

  test('a wrong fleet file is called wrongly, with every problem on a line of its own', async () => {
    const run = await cliProcess(NOBODY, ['apply', wrong]);
    expect(run.code).toBe(2);
    expect(run.err.trim().split('\n')).toEqual([
      expect.stringMatching(/wrong\.yaml:10:\d+: servers\[1\]\.hosts\[1\]\.zone: /),
      expect.stringMatching(/wrong\.yaml:14:\d+: databases\[2\]\.port: 99999 is not/),
    ]);
  });

  test('the fleet file is found by argument, --file and REDIS_FLEET_FILE', async () => {
    for (const [env, parameters] of [
      [{}, ['plan', file]],
      [{}, ['plan', '--file', file]],
      [{ REDIS_FLEET_FILE: file }, ['plan']],
    ] as const) {
      const run = await cliProcess({ ...NOBODY, ...env }, parameters);
      // It got as far as Consul.
      expect(run.err).toContain('Consul at http://127.0.0.1:1 (CONSUL_HTTP_ADDR) could not');
      expect(run.code).toBe(1);
    }
  });

  test.each([
    [['plan'], 'CONSUL_HTTP_ADDR'],
    [['status'], 'CONSUL_HTTP_ADDR'],
    [['check'], 'CONSUL_HTTP_ADDR'],
    [['runbook', 'list'], 'TEMPORAL_ADDRESS'],
    [['runbook', 'retry', 'x', '--reason', 'y'], 'TEMPORAL_ADDRESS'],
  ])(
    '%j without its systems names address and variable, and shows no stack',
    async (parameters, variable) => {
      const run = await cliProcess({ ...NOBODY, REDIS_FLEET_FILE: file }, parameters);
      expect(run.err).toContain(variable);
      expect(run.err).toContain('127.0.0.1:1');
      expect(run.err).not.toMatch(/^\s+at /m);
      expect(run.code).toBe(1);
    },
  );

  test('with --json every error is a JSON object', async () => {
    for (const [parameters, kind] of [
      [['plan', '--json', file], 'Unreachable'],
      [['plan', '--json', wrong], 'InvalidFleetFile'],
      [['plan', '--json', '--nope'], 'InvalidRequest'],
    ] as const) {
      const run = await cliProcess(NOBODY, parameters);
      const { error } = JSON.parse(run.err) as { error: { kind: string; message: string } };
      expect(error.kind).toBe(kind);
      expect(error.message).not.toBe('');
    }
  });

  test('stack traces are there for who asks for them', async () => {
    const run = await cliProcess({ ...NOBODY, REDIS_FLEET_DEBUG: '1' }, ['plan', file]);
    expect(run.err).toMatch(/^\s+at /m);
  });

  test('a reader that goes away early is no error', async () => {
    const run = await cliProcess({}, ['--help'], { close: true });
    expect(run.err).toBe('');
    expect(run.code).toBe(0);
  });
});
