/** How far the last report of a host can be relied on. */

import type { HostReport } from './facts.js';

/** Reports older than this say nothing about now. */
export const REPORT_STALE_MS = 30_000;

/** @param now milliseconds since 1970 */
export function isFresh(report: HostReport, now: number): boolean {
  return now - Date.parse(report.at) <= REPORT_STALE_MS;
}
