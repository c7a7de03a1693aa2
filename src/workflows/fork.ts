/** A fork that a runbook asks for: with the host's permit, verified headroom, and the gate open no longer than needed. */

import { CancellationScope } from '@temporalio/workflow';
import type { ForkBaseline } from '../activities/contracts.js';
import type { ForkInPauseInput, PausedFork } from '../activities/pauseContract.js';
import { judgeFork, type ForkVerdict } from '../fleet/pausedFork.js';
import { showSize } from '../fleet/quantities.js';
import { showEndpoint, type Endpoint } from '../fleet/record.js';
import { control, FOR_DATA, onHost } from './engine/activityOptions.js';
import { refusal } from './engine/failures.js';

const PERMIT_WAIT_MS = 60_000;
const LOAD_DEADLINE_MS = 3_600_000;

export interface PermittedFork {
  readonly source: ForkBaseline;
  /** All served by one fork. */
  readonly followers: readonly Endpoint[];
  readonly database: string;
  readonly reason: string;
  /** For the permit; default: a minute. */
  readonly waitMs?: number;
  /** For the copy; default: an hour. */
  readonly deadlineMs?: number;
  /** Of used memory, that the fork costs, where that is known; default: all of it. */
  readonly forkShare?: number;
  /** While they load, the source may hold more of its stream for them than Redis would let it: what its host can spare. */
  readonly patient?: true;
  /** Slows the copy down: it points the followers at the source, and ends when they have its data. */
  readonly paced?: () => Promise<void>;
}

/** @throws NoHeadroom: it does not fit, and nothing forked */
export async function synchroniseUnderPermit(fork: PermittedFork): Promise<void> {
  const verdict = await synchroniseWhereItFits(fork);
  if (!verdict.fits) throw doesNotFit(fork.source.endpoint, verdict);
}

/**
 * The permit is held no longer than the fork needs it: not while an engineer thinks, and not after a failure. Whether it
 * fits is looked at with the permit in hand: an approval may have waited for hours, and another fork may have ended.
 * @returns whether it fitted, and so was done
 */
export async function synchroniseWhereItFits(fork: PermittedFork): Promise<ForkVerdict> {
  const { source, followers, database, reason, patient, paced } = fork;
  const { waitMs = PERMIT_WAIT_MS, deadlineMs = LOAD_DEADLINE_MS } = fork;
  const { host } = source.endpoint;
  await acquirePermit({ host, database, reason, waitMs });
  try {
    const verdict = await lookForHeadroom(source.endpoint, fork.forkShare);
    if (!verdict.fits) return verdict;
    const copy = control(`copy from ${host}`, FOR_DATA).synchroniseFully({
      source,
      followers,
      deadlineMs,
      ...(patient === undefined ? {} : { bufferBytes: Math.max(LEAST_BUFFER, Math.floor(verdict.left)) }),
      ...(paced === undefined ? {} : { pointed: true }),
    });
    await Promise.all([copy, paced?.()]);
    return verdict;
  } finally {
    await CancellationScope.nonCancellable(() => giveBackPermit(host));
  }
}

/** What Redis grants by itself. */
const LEAST_BUFFER = 256 * 1024 ** 2;

/**
 * The same where not even one fork fits: the leader's writes wait, for `seconds` at most, until the child has ended.
 * `source` is the leader, or follows it. The step that calls this has an engineer's approval and `endingPause` as its undo.
 */
export async function forkWhileWritesWait(
  { database, leader, seconds, fork }: ForkInPauseInput,
  reason: string,
  waitMs = PERMIT_WAIT_MS,
): Promise<PausedFork> {
  const source = fork.what === 'follower' ? fork.source : leader;
  const { host } = source.endpoint;
  if (fork.what === 'nothing')
    return await onHost(host, `writes to ${database} wait`).forkInPause({ database, leader, seconds, fork });
  await acquirePermit({ host, database, reason, waitMs });
  try {
    // What an earlier attempt of the step forked, and failed, is not taken for this one's.
    const { totalForks } = await control(`forks of ${showEndpoint(source.endpoint)}`).inspect(source);
    const now = { ...source, totalForks };
    return await onHost(host, `fork of ${database} while writes wait`, FOR_DATA).forkInPause({
      database,
      leader: fork.what === 'follower' ? leader : now,
      seconds,
      fork: fork.what === 'follower' ? { ...fork, source: now } : fork,
    });
  } finally {
    await CancellationScope.nonCancellable(() => giveBackPermit(host));
  }
}

/** The undo of a step that pauses writes; also when a more urgent runbook took the database. */
export function endingPause(
  leader: Endpoint,
  source: Endpoint,
): {
  does: string;
  always: true;
  run: () => Promise<void>;
} {
  const forkRights = givingBackForkRights(source);
  return {
    does: `Lets writes to ${showEndpoint(leader)} go on. ${forkRights.does}`,
    always: true,
    run: async () => {
      await control('let writes go on').resumeWrites({ endpoint: leader });
      await forkRights.run();
    },
  };
}

/** What is said of it afterwards. */
export function waitedFor({ pausedMs, copyOnWrite }: PausedFork, seconds: number): string {
  const waited = pausedMs === null ? `at most ${seconds * 1_000}` : pausedMs.toFixed(0);
  return `Writes waited for ${waited} ms; ${copyOnWrite === null ? 'nobody forked' : `${showSize(copyOnWrite)} were copied for the fork`}.`;
}

async function acquirePermit(wanted: {
  readonly host: string;
  readonly database: string;
  readonly reason: string;
  readonly waitMs: number;
}): Promise<void> {
  const bounds = wanted.waitMs > PERMIT_WAIT_MS ? FOR_DATA : {};
  await control(`fork permit of ${wanted.host}`, bounds).acquireForkPermit(wanted);
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

async function lookForHeadroom(endpoint: Endpoint, forkShare = 1): Promise<ForkVerdict> {
  const [memory, { usedMemory }] = await Promise.all([
    onHost(endpoint.host, `memory of ${endpoint.host}`).hostMemory(),
    control(`memory of ${showEndpoint(endpoint)}`).inspect({ endpoint }),
  ]);
  return judgeFork(memory, usedMemory, forkShare);
}

export function doesNotFit(endpoint: Endpoint, { needed, short }: Exclude<ForkVerdict, { fits: true }>) {
  return refusal(
    'NoHeadroom',
    `A fork of ${showEndpoint(endpoint)} could need ${showSize(needed)}, and its host is ${showSize(short)} short of that. ` +
      'Nothing forked. Make room on that host, then retry.',
  );
}
