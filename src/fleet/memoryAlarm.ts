/** Hosts whose memory is an alarm: the largest fork fits no longer, or soon will not. Pure. */

import type { RelocationSettings } from './fleet.js';
import { showDuration, showSize } from './quantities.js';
import type { Forecast, HostForecast } from './relocation/forecast.js';

export interface MemoryAlarm {
  readonly host: string;
  /** Until the largest fork is expected to fit no longer. 0: it does not now. */
  readonly seconds: number;
  /** A sentence with the command that helps. */
  readonly text: string;
}

export function memoryAlarms(
  forecasts: readonly HostForecast[],
  { forkNoLongerFitsWithin }: Pick<RelocationSettings, 'forkNoLongerFitsWithin'>,
): MemoryAlarm[] {
  return forecasts.flatMap((forecast) => {
    const { host, forks, forkEnds, memoryEnds } = forecast;
    const [largest] = forks;
    const seconds = forkEnds.expected;
    if (largest === undefined || seconds === null || seconds * 1_000 > forkNoLongerFitsWithin) return [];
    const fork = `A fork of ${largest.database}, the largest on host ${host} (up to ${showSize(largest.needs)}),`;
    const when =
      seconds === 0
        ? 'fits no longer'
        : `is expected to fit no longer in ${showWhen(seconds)}${spread(forkEnds)}`;
    const end = memoryEnds.expected === null ? '' : `, and memory to end in ${showWhen(memoryEnds.expected)}`;
    return [
      {
        host,
        seconds,
        text: `${fork} ${when}${end}. Move databases off: redis-fleet relocate --host ${host}`,
      },
    ];
  });
}

/** For tables: `no longer`, `6 h (from 4 h on)`, `` where nothing ends. */
export function showForecast(forecast: Forecast): string {
  const { expected, low } = forecast;
  if (expected === 0) return 'no longer';
  if (expected === null) return low === null ? '' : `for ${showWhen(low)} at least`;
  return `for ${showWhen(expected)}${spread(forecast)}`;
}

function spread({ low, expected }: Forecast): string {
  return low === null || expected === null || low >= 0.9 * expected
    ? ''
    : ` (${showWhen(low)} at the earliest)`;
}

function showWhen(seconds: number): string {
  return showDuration(seconds * 1_000);
}
