/** Whether an alarm of memory starts a relocation, and in which case that does not wait for approval. Pure. */

import type { RelocationSettings } from './fleet.js';
import { memoryAlarms } from './memoryAlarm.js';
import { showDuration } from './quantities.js';
import type { HostForecast } from './relocation/forecast.js';

/** The last relocation of a host, as Temporal knows it. `endedAt`: since 1970. */
export type LastRelocation =
  | { readonly state: 'none' }
  | { readonly state: 'running' }
  | { readonly state: 'ended'; readonly endedAt: number };

export type RelocationCall =
  | {
      readonly call: true;
      readonly host: string;
      /** It asks, unless memory may end sooner by then. Seconds; null: it asks in any case. */
      readonly withoutAskingBelow: number | null;
      readonly why: string;
    }
  /** null: there is nothing to say, since nobody is alarmed. */
  | { readonly call: false; readonly why: string | null };

export interface RelocationSight {
  /** Of the hosts of one server: its leaders and followers grow together, and one relocation serves both. */
  readonly forecasts: readonly HostForecast[];
  readonly last: ReadonlyMap<string, LastRelocation>;
  readonly settings: RelocationSettings;
  /** Since 1970. */
  readonly now: number;
}

export function decideRelocation({ forecasts, last, settings, now }: RelocationSight): RelocationCall {
  const [alarm] = memoryAlarms(forecasts, settings).toSorted((a, b) => a.seconds - b.seconds);
  if (alarm === undefined) return { call: false, why: null };
  const nothing = (why: string): RelocationCall => ({ call: false, why: `${alarm.text}. ${why}` });
  if (settings.policy === 'off') return nothing('None is started by itself: relocation.policy is off.');
  for (const { host } of forecasts) {
    const before = last.get(host) ?? { state: 'none' };
    if (before.state === 'running') return nothing(`One for ${host} is under way.`);
    if (before.state === 'none') continue;
    const again = before.endedAt + settings.notAgainWithin - now;
    if (again > 0)
      return nothing(
        `One for ${host} has ended, and none is started by itself for another ${showDuration(again)} (relocation.notAgainWithin).`,
      );
  }
  const { policy, withoutAskingBelow } = settings;
  const hurry = policy === 'automatic' && withoutAskingBelow !== null ? withoutAskingBelow / 1_000 : null;
  return { call: true, host: alarm.host, withoutAskingBelow: hurry, why: alarm.text };
}
