/** The child of a process that forked while writes wait: watched to its end, and called off where memory will not bear it. */

import { Context } from '@temporalio/activity';
import type { Redis } from '../connections/redis.js';
import { FleetError } from '../fleet/errors.js';
import type { HostMemory } from '../fleet/facts.js';
import { mayOutlastPause, mustEndNow, pauseForTheRest } from '../fleet/pausedFork.js';
import { parseProcessFacts, parseSave, type SaveFacts } from '../fleet/processFacts.js';
import { showDuration } from '../fleet/quantities.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { hostMemory } from '../host/hostMemory.js';
import type { RedisProcesses } from '../host/processes.js';
import { callOffSave, takeChildrenFirst } from '../host/saving.js';
import type { HostSettings } from '../host/settings.js';

/** Before the pause ends: a child is gone a tenth of a second after it was called off. */
const CALL_OFF_BEFORE_MS = 400;
export const LOOK_EVERY_MS = 20;

export interface PausedChildOf {
  readonly settings: HostSettings;
  readonly processes: RedisProcesses;
  readonly database: string;
  /** The process that forks, on this host. */
  readonly at: Endpoint;
  /** For which writes may wait. */
  readonly seconds: number;
}

export interface EndedChild {
  /** Since it was first seen. */
  readonly ms: number;
  readonly outlasted: boolean;
}

export interface PausedChild {
  memory(): Promise<HostMemory>;
  /** When memory ends, the kernel takes the child and not the process, whoever else is left by then. */
  takeFirst(): Promise<void>;
  /**
   * @param left of the pause, milliseconds
   * @param resume lets writes go on, under a child that may outlive the pause
   * @throws NoHeadroom when the child must be called off: the caller does that, and only then lets writes go on
   */
  untilItEnds(redis: Redis, left: () => number, resume: () => Promise<void>): Promise<EndedChild>;
  /** Returns when the child is gone, if there is one. */
  callOff(redis: Redis): Promise<void>;
}

export function pausedChild({ settings, processes, database, at, seconds }: PausedChildOf): PausedChild {
  const pid = async (): Promise<number | null> => (await processes.find(database))?.pid ?? null;
  const memory = async (): Promise<HostMemory> => hostMemory(settings, await processes.list());

  function calledOff(why: string, { keysDone, keysTotal }: SaveFacts, ms: number): FleetError {
    const enough = pauseForTheRest(ms / 1_000, keysDone, keysTotal);
    const advice =
      enough === null || enough <= seconds
        ? `Move databases off ${at.host} first, or give it more memory.`
        : `It might have needed ${enough} s: abort this runbook, and approve that.`;
    return new FleetError(
      'NoHeadroom',
      `The fork of ${database} on ${showEndpoint(at)} still lived after ${showDuration(ms)} of the ${seconds} s for which writes may wait, and ` +
        `${why}: it was called off before that. Nothing was lost, and writes go on. ${advice}`,
    );
  }

  return {
    memory,

    async takeFirst() {
      const process = await pid();
      if (process !== null) takeChildrenFirst(process);
    },

    async untilItEnds(redis, left, resume) {
      const signal = Context.current().cancellationSignal;
      const since = performance.now();
      const spent = (): number => performance.now() - since;
      let outlasted = false;
      for (;;) {
        signal.throwIfAborted();
        const info = await redis.info();
        const save = parseSave(info);
        if (!save.saving) return { ms: spent(), outlasted };
        if (outlasted) {
          if (mustEndNow(await memory())) throw calledOff('memory was running out', save, spent());
        } else if (left() < CALL_OFF_BEFORE_MS) {
          const verdict = mayOutlastPause(await memory(), parseProcessFacts(info).usedMemory);
          if (!verdict.goesOn) throw calledOff(verdict.why, save, spent());
          outlasted = true;
          await resume();
        }
        await Context.current().sleep(LOOK_EVERY_MS);
      }
    },

    async callOff(redis) {
      const process = await pid();
      if (process === null) return;
      callOffSave(process);
      const end = performance.now() + CALL_OFF_BEFORE_MS;
      while (performance.now() < end) {
        const info = await redis.info('persistence').catch(() => null);
        if (info === null || !parseSave(info).saving) return;
        await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      }
    },
  };
}
