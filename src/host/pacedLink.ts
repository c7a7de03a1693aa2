/**
 * A copy that leaves a network to others. Redis has no limit for what it replicates, so a follower of this host gets its
 * data through us: we pass it on no faster than we may. Once it has all, it goes on with its leader directly.
 */

import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Pace } from '../backups/pacing.js';
import { withRedis } from '../connections/redis.js';
import type { ProcessFacts } from '../fleet/facts.js';
import { isSynchronised } from '../fleet/gates.js';
import { parseProcessFacts } from '../fleet/processFacts.js';
import type { Endpoint } from '../fleet/record.js';
import { FleetError } from '../fleet/errors.js';
import { showEndpoint } from '../fleet/record.js';
import { ownServer, type OwnServer } from './ownServer.js';
import type { HostSettings } from './settings.js';

export interface PacedCopy {
  /** Of this host. */
  readonly follower: Endpoint;
  readonly source: Endpoint;
  readonly bytesPerSecond: number;
  readonly deadlineMs: number;
}

const ANSWER_TIMEOUT_MS = 3_000;
const LOOK_EVERY_MS = 100;

/** Returns when the follower has the data and is pointed at its source itself. @throws FollowerUnfit, Unreachable */
export async function pacedLink(
  settings: HostSettings,
  { follower, source, bytesPerSecond, deadlineMs }: PacedCopy,
  signal: AbortSignal | undefined,
): Promise<void> {
  const look = (): Promise<ProcessFacts> =>
    atFollower(async (redis) => parseProcessFacts(await redis.info()));
  const point = (at: Pick<Endpoint, 'address' | 'port'>): Promise<unknown> =>
    atFollower((redis) => redis.replicaof(at.address, at.port));
  const atFollower = <T>(use: Parameters<typeof withRedis<T>>[3]): Promise<T> =>
    withRedis(
      follower,
      settings.credentials,
      { timeoutMs: ANSWER_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) },
      use,
    );

  if (isSynchronised(await look(), source)) return;
  const link = await openLink(settings.address, source, new Pace(bytesPerSecond));
  try {
    await point(link);
    const end = performance.now() + deadlineMs;
    for (;;) {
      signal?.throwIfAborted();
      // While it loads it may not answer.
      const facts = await look().catch(() => null);
      if (facts !== null && isSynchronised(facts, link)) break;
      if (performance.now() >= end) {
        throw new FleetError(
          'FollowerUnfit',
          `${showEndpoint(follower)} did not get the data of ${showEndpoint(source)} within ${Math.round(deadlineMs / 1000)} s, ` +
            `at ${bytesPerSecond} bytes a second. Nobody else was touched. Allow it more bandwidth, or retry.`,
        );
      }
      await pause(LOOK_EVERY_MS, undefined, signal === undefined ? {} : { signal });
    }
    await point(source);
  } finally {
    link.close();
  }
}

/** Whoever connects to it talks with the source, and hears from it at that pace. */
function openLink(address: string, source: Endpoint, pace: Pace): Promise<OwnServer> {
  return ownServer(address, (downstream, keep) => {
    const upstream = connect({ host: source.address, port: source.port, noDelay: true });
    keep(upstream);
    downstream.on('close', () => upstream.destroy());
    upstream.on('close', () => downstream.destroy());
    downstream.pipe(upstream);
    void pass(upstream, downstream, pace);
  });
}

async function pass(from: Socket, to: Socket, pace: Pace): Promise<void> {
  try {
    for await (const piece of from as AsyncIterable<Buffer>) {
      const wait = pace.wait(piece.length, performance.now());
      if (wait >= 1) await pause(wait);
      if (!to.write(piece)) await drained(to);
    }
  } catch {
    // Its end says it.
  } finally {
    to.destroy();
  }
}

async function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  await new Promise<void>((resolve) => {
    const go = (): void => {
      socket.off('drain', go);
      socket.off('close', go);
      resolve();
    };
    socket.on('drain', go);
    socket.on('close', go);
  });
}
