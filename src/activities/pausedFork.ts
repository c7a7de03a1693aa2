/**
 * A fork during which writes wait, beside the process that forks.
 *
 * 1 whoever wants the data waits behind the gate; 2 is there the little memory that is needed? 3 writes are paused
 * on the leader, for a time that Redis itself ends; 4 the source has all that was written; 5 it forks, and the kernel is
 * told to take the child first; 6 the child ends, or is called off just before the pause does; 7 writes go on.
 */

import { Context } from '@temporalio/activity';
import type { Redis } from '../connections/redis.js';
import { openRedis } from '../connections/redis.js';
import { FleetError, messageOf } from '../fleet/errors.js';
import { linkTo } from '../fleet/gates.js';
import { pausedForkHeadroom } from '../fleet/pausedFork.js';
import { parseSave, type SaveFacts } from '../fleet/processFacts.js';
import { showSize } from '../fleet/quantities.js';
import { sameEndpoint, showEndpoint, type Endpoint } from '../fleet/record.js';
import type { RedisProcesses } from '../host/processes.js';
import type { HostSettings } from '../host/settings.js';
import type { ForkBaseline } from './contracts.js';
import { openUntilFork, shutGatesOf, shutGatesThrough, waitAlone } from './gateOpening.js';
import { offsetIn, together, within } from './handOverSides.js';
import type { ForkInPauseInput, PausedFork, PauseHostActivities } from './pauseContract.js';
import { LOOK_EVERY_MS, pausedChild, type EndedChild, type PausedChild } from './pausedChild.js';
import { pollUntil } from './polling.js';
import { redisAccess } from './redisAccess.js';
import { arrived } from './synchronise.js';

export interface PausedForkDependencies {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
}

/** For commands while writes wait. A process that forks a large data set stalls for a while. */
const ANSWER_WITHIN_MS = 5_000;
const CAUGHT_UP_WITHIN_MS = 2_000;
const LOADS_WITHIN_MS = 3_600_000;

export function pausedForkActivities(dependencies: PausedForkDependencies): PauseHostActivities {
  return { forkInPause: (input) => new Attempt(dependencies, input).run() };
}

class Attempt {
  private readonly access;
  private readonly source: ForkBaseline;
  private readonly child: PausedChild;

  constructor(
    private readonly dependencies: PausedForkDependencies,
    private readonly input: ForkInPauseInput,
  ) {
    this.access = redisAccess(dependencies.settings.credentials);
    this.source = input.fork.what === 'follower' ? input.fork.source : input.leader;
    const { database, seconds } = input;
    this.child = pausedChild({ ...dependencies, database, seconds, at: this.source.endpoint });
  }

  async run(): Promise<PausedFork> {
    const { leader, fork } = this.input;
    const leading = await this.access.sameProcess(leader);
    if (leading.role !== 'leader') {
      throw new FleetError(
        'LeaderUnfit',
        `${showEndpoint(leader.endpoint)} does not lead: it follows another process. Its writes were not paused. See: redis-fleet status`,
      );
    }
    if (fork.what === 'nothing') return await this.pauseOnly();
    const before = await this.doneBefore();
    if (before !== null) return before;
    try {
      if (fork.what === 'follower' && !(await waitAlone(this.gate(fork.followers)))) {
        // Linked by a partial synchronisation: nobody has to fork.
        await this.arrived();
        return { pausedMs: 0, forkMs: null, copyOnWrite: null, outlasted: false };
      }
      await this.requireMemory();
      const done = await this.paused();
      await this.arrived();
      return done;
    } finally {
      if (fork.what === 'follower') await shutGatesOf(this.access, this.source.endpoint);
    }
  }

  /** Steps 3 to 7, over connections that an abort does not close: writes must go on, and no gate stay open. */
  private async paused(): Promise<PausedFork> {
    const { leader, seconds } = this.input;
    const pauseMs = seconds * 1_000;
    const redis = await this.connect(leader.endpoint);
    const source = await this.connect(this.source.endpoint).catch((error: unknown) => {
      redis.disconnect();
      throw error;
    });
    const resumed: { at: number | null } = { at: null };
    const resume = async (): Promise<void> => {
      const [time] = await within(ANSWER_WITHIN_MS, together(redis, ['TIME'], ['CLIENT', 'UNPAUSE']));
      resumed.at ??= microseconds(time);
    };
    try {
      const began = performance.now();
      const [, time, replication] = await within(
        ANSWER_WITHIN_MS,
        together(
          redis,
          ['CLIENT', 'PAUSE', String(pauseMs), 'WRITE'],
          // From here on writes wait.
          ['TIME'],
          ['INFO', 'replication'],
        ),
      );
      await this.hasAll(offsetIn(replication));
      await this.fork();
      const left = (): number => pauseMs - (performance.now() - began);
      const child = await this.child.untilItEnds(source, left, resume);
      if (!child.outlasted) await resume();
      const pausedMs = Math.min(pauseMs, ((resumed.at ?? Number.NaN) - microseconds(time)) / 1_000);
      return { pausedMs, forkMs: child.ms, copyOnWrite: await this.copied(), outlasted: child.outlasted };
    } catch (error) {
      if (this.input.fork.what === 'follower') await shutGatesThrough(source).catch(() => undefined);
      await this.child.callOff(source);
      throw Context.current().cancellationSignal.aborted ? error : notTriedAgain(error);
    } finally {
      // Unheard, the pause ends by itself.
      if (resumed.at === null) await resume().catch(() => undefined);
      redis.disconnect();
      source.disconnect();
    }
  }

  private async pauseOnly(): Promise<PausedFork> {
    const { leader, seconds } = this.input;
    const redis = await this.connect(leader.endpoint);
    try {
      const pause = ['CLIENT', 'PAUSE', String(seconds * 1_000), 'WRITE'] as const;
      const [, began] = await together(redis, pause, ['TIME']);
      await Context.current().sleep(seconds * 1_000);
      const [ended] = await together(redis, ['TIME']);
      const pausedMs = Math.min(seconds * 1_000, (microseconds(ended) - microseconds(began)) / 1_000);
      return { pausedMs, forkMs: null, copyOnWrite: null, outlasted: false };
    } catch (error) {
      throw Context.current().cancellationSignal.aborted ? error : notTriedAgain(error);
    } finally {
      await within(ANSWER_WITHIN_MS, together(redis, ['CLIENT', 'UNPAUSE'])).catch(() => undefined);
      redis.disconnect();
    }
  }

  /** What an attempt before this one did, or null: nothing. A child of it that still lives is waited for. */
  private async doneBefore(): Promise<PausedFork | null> {
    const { source, input } = this;
    const now = await this.access.sameProcess(source);
    if (now.totalForks === source.totalForks) return null;
    if (now.saving) {
      const child = await this.leftBehind();
      await this.giveWritesBack();
      await this.arrived();
      return { pausedMs: null, forkMs: child.ms, copyOnWrite: await this.copied(), outlasted: true };
    }
    if (!(await this.succeeded())) return null;
    await this.giveWritesBack();
    if (input.fork.what === 'follower') await shutGatesOf(this.access, source.endpoint);
    await this.arrived();
    return { pausedMs: null, forkMs: null, copyOnWrite: await this.copied(), outlasted: false };
  }

  private async succeeded(): Promise<boolean> {
    const { fork } = this.input;
    if (fork.what === 'save') {
      const { lastOk } = await this.access.use(this.source.endpoint, saveFacts);
      return lastOk;
    }
    if (fork.what === 'nothing') return false;
    const now = await this.access.sameProcess(this.source);
    return fork.followers.every((follower) => {
      const state = linkTo(now, follower)?.state;
      return state === 'send_bulk' || state === 'online';
    });
  }

  private async requireMemory(): Promise<void> {
    const { usedMemory } = await this.access.sameProcess(this.source);
    const headroom = pausedForkHeadroom(await this.child.memory(), usedMemory);
    if (headroom.fits) return;
    throw new FleetError(
      'NoHeadroom',
      `Even while writes wait, a fork of ${this.name} needs some memory for its page tables, and ${this.source.endpoint.host} is ` +
        `${showSize(headroom.short)} short of that. Writes were not paused and nothing forked. Make room there: stop what is ` +
        'not Redis, or delete keys; then retry.',
    );
  }

  /** Step 4: a source that follows the leader has what the leader had when the pause began. */
  private async hasAll(goal: number): Promise<void> {
    if (sameEndpoint(this.source.endpoint, this.input.leader.endpoint)) return;
    const reached = await pollUntil({ deadlineMs: CAUGHT_UP_WITHIN_MS, everyMs: LOOK_EVERY_MS }, async () => {
      const { position } = await this.access.sameProcess(this.source);
      return position.offset >= goal ? true : null;
    });
    if (reached !== null) return;
    throw new FleetError(
      'FollowerUnfit',
      `${this.name} was still behind its leader ${CAUGHT_UP_WITHIN_MS / 1_000} s after writes were paused. Nothing forked, and writes ` +
        'go on. Find out what slows it, then retry.',
    );
  }

  /** Step 5. */
  private async fork(): Promise<void> {
    const { fork, database } = this.input;
    const at = this.source.endpoint;
    if (fork.what === 'follower') await openUntilFork(this.gate(fork.followers));
    else await this.access.use(at, (redis) => redis.bgsave());
    await this.child.takeFirst();
    if (fork.what === 'follower') await shutGatesOf(this.access, at);
    const { totalForks } = await this.access.sameProcess(this.source);
    if (totalForks > this.source.totalForks) return;
    throw new FleetError(
      'FollowerUnfit',
      `${this.name} did not fork when it was told to, for ${database}. Writes go on; see its redis.log, then retry.`,
    );
  }

  /** A child of an attempt before this one: the pause may be over. */
  private async leftBehind(): Promise<EndedChild> {
    const redis = await this.connect(this.source.endpoint);
    try {
      return await this.child.untilItEnds(
        redis,
        () => 0,
        () => Promise.resolve(),
      );
    } catch (error) {
      await this.child.callOff(redis);
      throw error;
    } finally {
      redis.disconnect();
    }
  }

  /** Followers that were sent the data load it; writes go on meanwhile. */
  private async arrived(): Promise<void> {
    const { fork } = this.input;
    if (fork.what !== 'follower') {
      if (fork.what === 'nothing' || (await this.succeeded())) return;
      throw new FleetError(
        'LeaderUnfit',
        `${this.name} could not write its data file (disk full?). It serves as before, and writes go on. See its redis.log, then retry.`,
      );
    }
    const at = this.source.endpoint;
    const waiting = await arrived(this.access, this.source, fork.followers, LOADS_WITHIN_MS);
    if (waiting.length === 0) return;
    throw new FleetError(
      'FollowerUnfit',
      `${waiting.map(showEndpoint).join(', ')} did not load the data that ${showEndpoint(at)} sent it. Writes go on and the gate is shut. ` +
        "See the follower's redis.log (disk full?), then retry.",
    );
  }

  private async giveWritesBack(): Promise<void> {
    await this.access.use(this.input.leader.endpoint, (redis) => redis.call('CLIENT', 'UNPAUSE'));
  }

  private async copied(): Promise<number> {
    return (await this.access.sameProcess(this.source)).lastCowBytes;
  }

  private async connect(endpoint: Endpoint): Promise<Redis> {
    const redis = openRedis(endpoint, this.dependencies.settings.credentials, {
      timeoutMs: ANSWER_WITHIN_MS,
    });
    try {
      await redis.connect();
      return redis;
    } catch (error) {
      redis.disconnect();
      throw new FleetError('Unreachable', `${showEndpoint(endpoint)} cannot be reached: ${messageOf(error)}`);
    }
  }

  private gate(followers: readonly Endpoint[]) {
    return { access: this.access, source: this.source, followers };
  }

  private get name(): string {
    return `${this.input.database} on ${showEndpoint(this.source.endpoint)}`;
  }
}

async function saveFacts(redis: Redis): Promise<SaveFacts> {
  return parseSave(await redis.info('persistence'));
}

/** Of Redis's answer to TIME. */
function microseconds(time: unknown): number {
  const [seconds, rest] = Array.isArray(time) ? time.map(Number) : [];
  return (seconds ?? Number.NaN) * 1e6 + (rest ?? Number.NaN);
}

/** Writes were paused: they are not paused again before a person has read why. */
function notTriedAgain(error: unknown): unknown {
  if (error instanceof FleetError && !error.retryable) return error;
  return new FleetError(
    'LeaderUnfit',
    `${messageOf(error)} Writes go on, or do when their pause ends by itself.`,
  );
}
