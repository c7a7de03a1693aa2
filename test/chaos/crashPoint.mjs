/**
 * Loaded into a worker or an agent by NODE_OPTIONS, beside the product's own code: an activity that the test armed does
 * its work and then does not return, so that its process can be killed before the completion is recorded.
 *
 * `<workflow id>.armed` in the folder names the activity (`*`: the first of its type); it becomes `<workflow id>.reached`
 * when the work is done. Whoever removes that lets the activity return.
 */

import { existsSync, readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';

const LOOK_EVERY_MS = 100;
const folder = process.env.REDIS_FLEET_TEST_CRASH_POINTS;
// Not in the threads that run workflows, nor in other commands of the program.
if (folder !== undefined && isMainThread && /^(worker|agent)$/.test(process.argv[2] ?? '')) {
  const { Worker } = await import('@temporalio/worker');
  const create = Worker.create.bind(Worker);
  Worker.create = (options) => {
    const { activity = [], ...others } = options.interceptors ?? {};
    // Innermost: whoever waits for the kill goes on heartbeating, and is not given up before it.
    return create({ ...options, interceptors: { ...others, activity: [...activity, holding] } });
  };
}

function holding({ info }) {
  return {
    inbound: {
      async execute(input, next) {
        try {
          return await next(input);
        } finally {
          if (disarmed(info)) while (existsSync(fileOf(info, 'reached'))) await pause(LOOK_EVERY_MS);
        }
      },
    },
  };
}

/** True once: the file is renamed, so that the retry goes through. */
function disarmed(info) {
  const { activityId, activityType } = info;
  try {
    const armed = readFileSync(fileOf(info, 'armed'), 'utf8');
    if (armed !== `${activityId} ${activityType}` && armed !== `* ${activityType}`) return false;
    renameSync(fileOf(info, 'armed'), fileOf(info, 'reached'));
    return true;
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

function fileOf({ workflowExecution }, state) {
  return path.join(folder, `${encodeURIComponent(workflowExecution?.workflowId ?? '')}.${state}`);
}
