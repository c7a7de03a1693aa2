/** Has every server of a fleet watched: one `watchServer` each, which goes on for ever. */

import { setTimeout as sleep } from 'node:timers/promises';
import { startRunbook } from '../connections/startRunbook.js';
import type { Fleet } from '../fleet/fleet.js';
import { unwatched } from '../fleet/watchView.js';
import { withConsul, withTemporal } from './connect.js';
import type { CliContext } from './context.js';

export interface StartedWatch {
  readonly server: string;
  readonly workflowId: string;
  readonly wasRunning: boolean;
  /** null: it was not waited for. */
  readonly watched: boolean | null;
}

/** A worker takes a new watch within a second. */
const WATCHED_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 100;

/** Those that run already are left alone. @throws Unreachable, WrongCredentials */
export async function startWatches(context: CliContext, fleet: Fleet): Promise<readonly StartedWatch[]> {
  if (fleet.servers.length === 0) return [];
  return await withTemporal(context, (client) =>
    Promise.all(
      fleet.servers.map(async ({ name, hosts }): Promise<StartedWatch> => {
        const subject = { fleet: fleet.name, servers: [name], hosts: hosts.map((host) => host.name) };
        const { workflowId, wasRunning } = await startRunbook(
          client,
          'watchServer',
          name,
          { server: name },
          subject,
        );
        return { server: name, workflowId, wasRunning, watched: null };
      }),
    ),
  );
}

/** Waits a little until each of them has said something. @throws Unreachable (Consul) */
export async function awaitWatched(
  context: CliContext,
  fleet: Fleet,
  started: readonly StartedWatch[],
): Promise<readonly StartedWatch[]> {
  if (started.length === 0) return [];
  const { watchStore } = await import('../records/watches.js');
  return await withConsul(context, async (consul) => {
    const store = watchStore(consul, fleet.name);
    const deadline = Date.now() + WATCHED_WITHIN_MS;
    for (;;) {
      const views = await store.list();
      const seen = started.map((watch): StartedWatch & { readonly watched: boolean } => ({
        ...watch,
        watched: unwatched(watch.server, views, Date.now()) === null,
      }));
      if (seen.every(({ watched }) => watched) || Date.now() > deadline) return seen;
      await sleep(LOOK_EVERY_MS);
    }
  });
}
