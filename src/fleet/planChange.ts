/** What a plan consists of, and which of it apply does. */

import type { Endpoint } from './record.js';

export type PlanChange =
  /** Effect `apply`: what apply stores or starts. */
  | {
      readonly kind: 'provision server';
      readonly server: string;
      readonly isNew: boolean;
      readonly databases: readonly string[];
      readonly leaderHost: string;
      readonly followerHost: string;
      /** The runbook that is at it already. */
      readonly runbook: string | null;
    }
  /** In the file for the first time, with a leader already: nothing is started. */
  | { readonly kind: 'adopt database'; readonly database: string; readonly leader: Endpoint }
  | { readonly kind: 'change setting'; readonly setting: string; readonly from: string; readonly to: string }
  | {
      readonly kind: 'change host';
      readonly host: string;
      readonly field: 'zone' | 'memory';
      readonly from: string | number;
      readonly to: string | number;
    }
  /** Refused while records point at it. */
  | {
      readonly kind: 'change host address';
      readonly host: string;
      readonly from: string;
      readonly to: string;
      readonly usedBy: readonly string[];
    }
  /** Refused while records point at it. */
  | {
      readonly kind: 'remove host';
      readonly host: string;
      readonly server: string;
      readonly usedBy: readonly string[];
    }
  | {
      readonly kind: 'change maxmemory';
      readonly database: string;
      readonly from: number;
      readonly to: number;
    }
  /** Details that only new databases feel, e.g. the order of a server's hosts. */
  | { readonly kind: 'store details' }
  /** Effect `refuse`: apply does nothing at all while there is one. */
  | { readonly kind: 'conflict'; readonly problem: string }
  /** Effect `inform`: apply changes nothing about it. */
  | {
      readonly kind: 'database elsewhere';
      readonly database: string;
      readonly file: { readonly server: string; readonly port: number };
      readonly record: {
        readonly server: string;
        readonly leader: Endpoint;
        readonly follower: Endpoint | null;
      };
    }
  | { readonly kind: 'remove database'; readonly database: string; readonly leader: Endpoint }
  | {
      readonly kind: 'no follower';
      readonly database: string;
      readonly leader: Endpoint;
      /** The follower of the record, whose process is down; null: the record has none. */
      readonly down: Endpoint | null;
    }
  | { readonly kind: 'unreadable record'; readonly database: string; readonly problem: string }
  | { readonly kind: 'silent host'; readonly host: string; readonly lastReport: string | null };

export type Effect = 'apply' | 'inform' | 'refuse';

export interface Plan {
  readonly fleet: string;
  /** Whether the file says anything else than the fleet applied last. */
  readonly stores: boolean;
  readonly changes: readonly PlanChange[];
  /** Sentences. */
  readonly warnings: readonly string[];
}

export function effectOf(change: PlanChange): Effect {
  switch (change.kind) {
    case 'provision server':
    case 'adopt database':
    case 'change setting':
    case 'change host':
    case 'change maxmemory':
    case 'store details':
      return 'apply';
    case 'change host address':
    case 'remove host':
      return change.usedBy.length === 0 ? 'apply' : 'refuse';
    case 'conflict':
      return 'refuse';
    case 'database elsewhere':
    case 'remove database':
    case 'no follower':
    case 'unreadable record':
    case 'silent host':
      return 'inform';
  }
}
