/**
 * What a later `redis-fleet dev` does with the databases of an earlier one. Those that it stopped in order, with
 * their data saved, it starts again, and says which process leads. Any other that is down stays down: starting
 * a leader from an older file would give back an older state as if nothing had happened.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetConsul } from '../connections/consul.js';
import { messageOf } from '../fleet/errors.js';
import type { ProcessFacts } from '../fleet/facts.js';
import type { DatabaseRecord, Endpoint } from '../fleet/record.js';
import { standInLeader } from '../host/standInLeader.js';
import { recordStore } from '../records/databases.js';
import type { DevRedis } from './redisProcesses.js';

const LOADED_WITHIN_MS = 120_000;
const FOLLOWS_WITHIN_MS = 10_000;

/** Returns lines for the person who runs it. */
export async function resumeRedis(
  redis: DevRedis,
  consul: FleetConsul,
  fleet: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { records, invalid } = await recordStore(consul, fleet).list();
  const saved = redis.saved();
  const resumption = new Resumption(
    redis,
    await isRunning(redis),
    saved !== null,
    wasSaved(saved ?? []),
    signal,
  );
  const lines = invalid.map(({ problem }) => problem.message);
  // One after the other: loading uses a core each, and a machine that runs a whole fleet has few.
  for (const { record } of records) {
    // Of epoch 0: its provisioning is under way, and goes on by itself.
    if (record.epoch > 0) lines.push(...(await resumption.database(record)));
  }
  redis.forgetSaved();
  if (resumption.started > 0)
    lines.unshift(`started ${resumption.started} Redis processes again, with their data`);
  return lines;
}

type Test = (database: string, endpoint: Endpoint) => boolean;

class Resumption {
  started = 0;

  constructor(
    readonly redis: DevRedis,
    readonly isRunning: Test,
    readonly hadOrderlyStop: boolean,
    readonly wasSaved: Test,
    readonly signal: AbortSignal,
  ) {}

  async database(record: DatabaseRecord): Promise<readonly string[]> {
    const { database, leader } = record;
    const followers = [...(record.follower ? [record.follower] : []), ...(record.extraFollowers ?? [])];
    const lines: string[] = [];
    try {
      if (!this.isRunning(database, leader)) {
        if (!this.wasSaved(database, leader)) return [this.#downLine(record)];
        await this.#start(database, leader);
        await this.#lead(leader);
      }
      for (const follower of followers) lines.push(...(await this.#follower(record, follower)));
    } catch (error) {
      this.signal.throwIfAborted();
      lines.push(`${database} is not as it was: ${messageOf(error)}`);
    }
    return lines;
  }

  /** With its history, so that the followers that were saved with it fit. */
  async #lead(leader: Endpoint): Promise<void> {
    const standIn = await standInLeader();
    try {
      await this.redis.replicate(leader, standIn);
      await this.#until(leader, (facts) => facts.link?.up === true, FOLLOWS_WITHIN_MS);
      await this.redis.replicate(leader, null);
    } finally {
      standIn.close();
    }
  }

  async #follower({ database, leader }: DatabaseRecord, follower: Endpoint): Promise<readonly string[]> {
    if (this.isRunning(database, follower)) return [];
    if (!this.wasSaved(database, follower)) {
      return [
        `the follower of ${database} on ${follower.host} is down: it was down before, or nobody saved it. ` +
          `Bring it up with: redis-fleet bring-up ${database}`,
      ];
    }
    await this.#start(database, follower);
    await this.redis.replicate(follower, leader);
    // The leader's gate is shut: a follower that needs more than its backlog waits, and never makes it fork.
    const follows = await this.#until(follower, (facts) => facts.link?.up === true, FOLLOWS_WITHIN_MS);
    if (follows) return [];
    return [
      `the follower of ${database} on ${follower.host} runs, but its saved file does not fit its leader any more. ` +
        `Bring it up with: redis-fleet bring-up ${database}`,
    ];
  }

  async #start(database: string, endpoint: Endpoint): Promise<void> {
    await this.redis.start({ database, host: endpoint.host }, this.signal);
    await this.#until(endpoint, (facts) => !facts.loading, LOADED_WITHIN_MS);
    this.started++;
  }

  async #until(
    endpoint: Endpoint,
    holds: (facts: ProcessFacts) => boolean,
    withinMs: number,
  ): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      if (holds(await this.redis.facts(endpoint))) return true;
      if (performance.now() >= deadline) return false;
      await sleep(20, undefined, { signal: this.signal });
    }
  }

  #downLine({ database, leader }: DatabaseRecord): string {
    const why = this.hadOrderlyStop
      ? 'it did not run, or could not be saved, when `redis-fleet dev` last stopped'
      : 'the last `redis-fleet dev` here did not stop in order, so nobody knows how old its file is';
    return (
      `${database} is down: its leader on ${leader.host} (${leader.address}:${leader.port}) does not run, because ${why}. ` +
      `Nothing of it was started and its files are kept. For an empty fleet, stop this and remove ${this.redis.data.root}.`
    );
  }
}

async function isRunning(redis: DevRedis): Promise<Test> {
  const running = await redis.listRunning();
  return (database, { host }) =>
    running.some((process) => process.database === database && process.endpoint.host === host);
}

function wasSaved(saved: readonly { database: string; host: string }[]): Test {
  return (database, { host }) => saved.some((one) => one.database === database && one.host === host);
}
