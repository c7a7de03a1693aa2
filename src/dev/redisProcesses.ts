/** The Redis processes of all hosts of a `redis-fleet dev`, and its orderly stop with their data on disk. */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Credentials } from '../connections/credentials.js';
import { withRedis } from '../connections/redis.js';
import { messageOf } from '../fleet/errors.js';
import type { HostProcess, ProcessFacts } from '../fleet/facts.js';
import type { Fleet } from '../fleet/fleet.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import { readDescription } from '../host/layout.js';
import { redisProcesses } from '../host/processes.js';
import type { RedisProcesses } from '../host/processes.js';
import { awaitEnd } from './child.js';
import type { DataDirectory } from './dataDirectory.js';
import { identify, signalProcess } from './processIdentity.js';

const ANSWER_WITHIN_MS = 3000;

/** A process that an orderly stop ended with its data saved. */
export interface SavedProcess {
  readonly database: string;
  readonly host: string;
}

export class DevRedis {
  readonly #hosts: ReadonlyMap<string, RedisProcesses>;

  constructor(
    fleet: Fleet,
    readonly data: DataDirectory,
    readonly credentials: Credentials,
    redisServer: string,
  ) {
    const hosts = fleet.servers.flatMap((server) => server.hosts);
    this.#hosts = new Map(
      hosts.map(({ name, address, memory }) => [
        name,
        redisProcesses({ host: name, address, memory, data: data.host(name), credentials, redisServer }),
      ]),
    );
  }

  /** Those that run and those that are down. */
  async list(): Promise<readonly HostProcess[]> {
    return (await Promise.all([...this.#hosts.values()].map((host) => host.list()))).flat();
  }

  async listRunning(): Promise<readonly (HostProcess & { readonly pid: number })[]> {
    return (await this.list()).flatMap((process) =>
      process.pid === null ? [] : [{ ...process, pid: process.pid }],
    );
  }

  /**
   * `SHUTDOWN SAVE`, leaders first: a leader waits until its followers have all it wrote, and all save in the
   * foreground, which does not fork. Notes what it saved, and returns lines about what it did.
   */
  async stop(): Promise<readonly string[]> {
    const running = await Promise.all(
      (await this.listRunning()).map(async (process) => ({
        process,
        leads: (await this.#factsOrNull(process.endpoint))?.role === 'leader',
      })),
    );
    const lines: string[] = [];
    const saved: SavedProcess[] = [];
    for (const leads of [true, false]) {
      const group = running.filter((one) => one.leads === leads);
      await Promise.all(
        group.map(async ({ process: { database, endpoint } }) => {
          try {
            await this.#hosts.get(endpoint.host)?.stop({ database, save: true });
            saved.push({ database, host: endpoint.host });
          } catch (error) {
            lines.push(messageOf(error));
          }
        }),
      );
    }
    if (saved.length > 0) {
      writeFileSync(this.data.stopped, `${JSON.stringify(saved, null, 2)}\n`);
      lines.push(`saved and stopped ${saved.length} Redis processes`);
    }
    return lines;
  }

  /** For a fleet whose data nobody wants any more. */
  async kill(): Promise<void> {
    await Promise.all(
      (await this.listRunning()).map(async ({ pid }) => {
        const identity = identify(pid);
        if (identity === null) return;
        signalProcess(identity, 'SIGKILL');
        await awaitEnd(identity, 5000);
      }),
    );
  }

  /** With its saved data and the configuration that it had; it follows nobody yet. @throws as the host's start */
  async start({ database, host }: SavedProcess, signal: AbortSignal): Promise<void> {
    const processes = this.#hosts.get(host);
    const description = processes && (await readDescription(processes.files(database)));
    if (!description) return;
    await processes.start({ process: description.process, allowEmpty: false, signal });
  }

  /** null: there was no orderly stop. */
  saved(): readonly SavedProcess[] | null {
    try {
      const parsed: unknown = JSON.parse(readFileSync(this.data.stopped, 'utf8'));
      return Array.isArray(parsed) ? parsed.filter(isSavedProcess) : null;
    } catch {
      return null;
    }
  }

  /** A note is good for one start: it knows nothing of what happens afterwards. */
  forgetSaved(): void {
    rmSync(this.data.stopped, { force: true });
  }

  facts(endpoint: Endpoint): Promise<ProcessFacts> {
    return withRedis(endpoint, this.credentials, { timeoutMs: ANSWER_WITHIN_MS }, async (redis) =>
      parseProcessFacts(await redis.info()),
    );
  }

  /** `REPLICAOF`: null makes it a leader. */
  async replicate(endpoint: Endpoint, leader: Pick<Endpoint, 'address' | 'port'> | null): Promise<void> {
    await withRedis(endpoint, this.credentials, { timeoutMs: ANSWER_WITHIN_MS }, async (redis) => {
      if (leader === null) await redis.replicaof('NO', 'ONE');
      else await redis.replicaof(leader.address, leader.port);
    });
  }

  async #factsOrNull(endpoint: Endpoint): Promise<ProcessFacts | null> {
    try {
      return await this.facts(endpoint);
    } catch {
      return null;
    }
  }
}

function isSavedProcess(value: unknown): value is SavedProcess {
  return (
    typeof value === 'object' &&
    value !== null &&
    'database' in value &&
    'host' in value &&
    typeof value.database === 'string' &&
    typeof value.host === 'string'
  );
}
