/** What each watch saw last: `redis-fleet/<fleet>/watches/<server>`. Only the watch of that server writes it. */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { consulKeys } from '../fleet/names.js';
import type { WatchView } from '../fleet/watchView.js';
import { listEntries, parseEntry, put, readEntry } from './kv.js';
import type { Entry } from './kv.js';

export interface WatchStore {
  publish(view: WatchView): Promise<void>;
  /** null: nobody ever watched it, or what was published is unreadable. */
  read(server: string): Promise<WatchView | null>;
  list(): Promise<readonly WatchView[]>;
}

export function watchStore(consul: FleetConsul, fleet: string): WatchStore {
  const keys = consulKeys(fleet);
  return {
    async publish(view) {
      await put(consul, keys.watch(view.server), view);
    },
    async read(server) {
      const entry = await readEntry(consul, keys.watch(server));
      return entry === null ? null : (toView(entry)[0] ?? null);
    },
    async list() {
      return (await listEntries(consul, keys.watch(''))).flatMap(toView);
    },
  };
}

function toView(entry: Entry): WatchView[] {
  try {
    const value = parseEntry(entry);
    return isView(value) ? [value] : [];
  } catch (error) {
    if (error instanceof FleetError) return [];
    throw error;
  }
}

function isView(value: unknown): value is WatchView {
  return (
    typeof value === 'object' &&
    value !== null &&
    'server' in value &&
    typeof value.server === 'string' &&
    'at' in value &&
    typeof value.at === 'string' &&
    'problems' in value &&
    Array.isArray(value.problems) &&
    'databases' in value &&
    Array.isArray(value.databases)
  );
}
