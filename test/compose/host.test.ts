/** deploy/container/host, run with a stub in place of the agent: Redis must outlive every end of the agent. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PROJECT, unknownToCommandLine } from './project.js';

let folder: string;
let host: ChildProcess;
let ended: Promise<number | null>;

/** Notes each agent's pid; the first one starts a "Redis" in a session of its own. */
const AGENT = `#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "$*" >called-with
if [[ ! -e redis ]]; then
  setsid sleep 300 >/dev/null 2>&1 </dev/null &
  echo $! >redis
fi
trap 'echo $$ >>ended-well; exit 0' TERM
echo $$ >>agents
while :; do sleep 0.05; done
`;

function pids(file: string): readonly number[] {
  const at = path.join(folder, file);
  return existsSync(at) ? readFileSync(at, 'utf8').trim().split('\n').map(Number) : [];
}

function alive(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

async function nthAgent(count: number): Promise<number> {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const pid = pids('agents')[count - 1];
    if (pid !== undefined) return pid;
    if (performance.now() > deadline) throw new Error(`agent ${count} did not start within 10 s`);
    await delay(20);
  }
}

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'host-'));
  writeFileSync(path.join(folder, 'redis-fleet'), AGENT, { mode: 0o755 });
  const started = spawn(path.join(PROJECT, 'deploy/container/host'), ['redis-01-a'], {
    env: { PATH: `${folder}:${process.env['PATH'] ?? ''}` },
    stdio: 'ignore',
  });
  host = started;
  ended = new Promise((resolve) => {
    started.on('exit', (code) => {
      resolve(code);
    });
  });
});

afterEach(async () => {
  host.kill('SIGTERM');
  await ended;
  for (const pid of [...pids('redis'), ...pids('agents')]) if (alive(pid)) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

describe('a host in a container', () => {
  it('calls the agent as the command line wants it', async () => {
    await nthAgent(1);
    const args = readFileSync(path.join(folder, 'called-with'), 'utf8').trim().split(' ');
    expect(args).toEqual(['agent', '--host', 'redis-01-a']);
    expect(unknownToCommandLine(args)).toBeNull();
  });

  it('starts the agent again when it is killed, and Redis runs on', async () => {
    const first = await nthAgent(1);
    process.kill(first, 'SIGKILL');
    const second = await nthAgent(2);
    expect(second).not.toBe(first);
    expect(alive(pids('redis')[0])).toBe(true);
    expect(host.exitCode).toBeNull();
  });

  it('restarts the agent alone at SIGHUP, and the agent ends well', async () => {
    const first = await nthAgent(1);
    host.kill('SIGHUP');
    await nthAgent(2);
    expect(pids('ended-well')).toEqual([first]);
    expect(alive(pids('redis')[0])).toBe(true);
  });

  it('ends the agent well, and then itself, at SIGTERM', async () => {
    const first = await nthAgent(1);
    host.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(pids('ended-well')).toEqual([first]);
    expect(pids('agents')).toHaveLength(1);
  });
});
