/** A server for tests that is gone when this process is gone, even by kill -9. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';

const KEPT_LINES = 20;

/** Kills the server when the pipe from us closes, which also happens when we are killed. */
const GUARDIAN = '"$@" </dev/null & echo "$!"; read -r _; kill -KILL "$!" 2>/dev/null; wait "$!"';

export interface GuardedProcess {
  readonly pid: number;
  ended(): boolean;
  /** The last lines of its output. */
  lastWords(): string;
  /** kill -9. */
  end(): Promise<void>;
}

export async function startGuarded(binary: string, parameters: readonly string[]): Promise<GuardedProcess> {
  const guardian = spawn('/bin/sh', ['-c', GUARDIAN, 'guardian', binary, ...parameters], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const keep = (line: string): void => {
    lines.push(line);
    if (lines.length > KEPT_LINES) lines.shift();
  };
  createInterface(guardian.stderr).on('line', keep);
  const output = createInterface(guardian.stdout);
  const [first] = (await once(output, 'line')) as [string];
  output.on('line', keep);
  const pid = Number(first);
  return {
    pid,
    ended: () => !isAlive(pid),
    lastWords: () => lines.join('\n'),
    async end() {
      if (guardian.exitCode !== null || guardian.signalCode !== null) return;
      const gone = once(guardian, 'exit');
      guardian.stdin.end();
      await gone;
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Held open together, so that they differ. */
export async function freePorts(address: string, count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, address);
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}
