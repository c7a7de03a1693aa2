/** A fork that a runbook asks for: with the host's permit, verified headroom, and the gate open no longer than needed. */

import { CancellationScope } from '@temporalio/workflow';
import type { ForkBaseline } from '../activities/contracts.js';
import { forkHeadroom } from '../fleet/headroom.js';
import { showSize } from '../fleet/quantities.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';

const PERMIT_WAIT_MS = 60_000;
const LOAD_DEADLINE_MS = 3_600_000;

/** The permit is held no longer than the fork needs it: not while an engineer thinks, and not after a failure. */
export async function synchroniseUnderPermit(
  source: ForkBaseline,
  follower: Endpoint,
  database: string,
  reason: string,
): Promise<void> {
  const { host } = source.endpoint;
  await control(`fork permit of ${host}`).acquireForkPermit({
    host,
    database,
    reason,
    waitMs: PERMIT_WAIT_MS,
  });
  try {
    await requireHeadroom(source.endpoint);
    await control(`copy from ${host}`, FOR_DATA).synchroniseFully({
      source,
      follower,
      deadlineMs: LOAD_DEADLINE_MS,
    });
  } finally {
    await CancellationScope.nonCancellable(() => giveBackPermit(host));
  }
}

async function giveBackPermit(host: string): Promise<void> {
  await control(`give back the fork permit of ${host}`).releaseForkPermit({ host });
}

/** The undo of a step that forks; also when a more urgent runbook took the database. */
export function givingBackForkRights(source: Endpoint): {
  does: string;
  always: true;
  run: () => Promise<void>;
} {
  return {
    does: `Shuts the gates of ${showEndpoint(source)} and gives its host's fork permit back.`,
    always: true,
    run: async () => {
      await control('shut the gates').shutGates({ endpoint: source });
      await giveBackPermit(source.host);
    },
  };
}

/** Just before a fork, with the permit in hand: an approval may have waited for hours. */
async function requireHeadroom(endpoint: Endpoint): Promise<void> {
  const [memory, { usedMemory }] = await Promise.all([
    onHost(endpoint.host, `memory of ${endpoint.host}`).hostMemory(),
    control(`memory of ${showEndpoint(endpoint)}`).inspect({ endpoint }),
  ]);
  const headroom = forkHeadroom(memory, usedMemory);
  if (!headroom.fits) {
    throw refusal(
      'NoHeadroom',
      `A fork of ${showEndpoint(endpoint)} could need ${showSize(usedMemory)}, and its host is ${showSize(headroom.short)} short of that. ` +
        'Nothing forked. Make room on that host, then retry.',
    );
  }
}
