/** What people run today: BGSAVE, cp, sha256sum, one database after the other. */

import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { FleetError } from '../../fleet/errors.js';
import { ADMINISTRATOR_USER } from '../../fleet/redisConfig.js';
import { processFiles } from '../../host/layout.js';
import type { TestFleet } from '../../testbed/fleet.js';

const LOOP = `
set -euo pipefail
to=$1; shift
while [[ $# -gt 0 ]]; do
  redis=(redis-cli --no-auth-warning -h "$1" -p "$2" --user "$BENCH_USER")
  "\${redis[@]}" BGSAVE > /dev/null
  while "\${redis[@]}" INFO persistence | grep -q '^rdb_bgsave_in_progress:1'; do sleep 0.05; done
  "\${redis[@]}" INFO persistence | grep -q '^rdb_last_bgsave_status:ok'
  cp "$3" "$to/$2.rdb"
  sha256sum "$to/$2.rdb" >> "$to/sums"
  shift 3
done
`;

/** @returns seconds */
export async function shellLoop(fleet: TestFleet): Promise<number> {
  const to = path.join(fleet.dev.data.root, 'by-hand');
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to);
  const words: string[] = [];
  for (const database of fleet.databases) {
    const { host, address, port } = await fleet.follower(database);
    words.push(address, String(port), processFiles(fleet.dev.data.host(host), database).data);
  }
  const began = performance.now();
  const child = spawn('bash', ['-c', LOOP, 'loop', to, ...words], {
    env: {
      ...process.env,
      REDISCLI_AUTH: fleet.dev.credentials.administrator,
      BENCH_USER: ADMINISTRATOR_USER,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let problem = '';
  child.stderr.on('data', (data: Buffer) => (problem += data.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  const seconds = (performance.now() - began) / 1_000;
  rmSync(to, { recursive: true, force: true });
  if (code === 0) return seconds;
  throw new FleetError('Unreachable', `The shell loop failed: ${problem.trim()}`);
}
