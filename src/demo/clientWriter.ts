/** An application of the demo: it writes all the time through the client library, and notices what a change of leader costs. */

import type { FleetConnection } from '../client/index.js';
import type { TestFleet } from '../testbed/fleet.js';
import { waitFor } from '../testbed/waiting.js';
import { Writer } from '../testbed/writer.js';

export interface ClientView {
  /** The longest time between two acknowledged writes. Milliseconds. */
  readonly outageMs: number;
  readonly acknowledged: number;
  readonly failed: number;
  /** Acknowledged, and not on the leader afterwards. */
  readonly lost: number;
}

const WRITES_A_SECOND = 1_000;
const SETTLED_AFTER = 500;

/** Writes before, during and after `change`, and reads everything back from whoever leads then. */
export async function writingThrough(
  fleet: TestFleet,
  connection: FleetConnection,
  database: string,
  change: () => Promise<void>,
): Promise<ClientView> {
  const { application } = fleet;
  const writer = Writer.start({
    ...application,
    open: () => connection.redis(database, { ...application, onInterrupted: 'retry' }),
    rate: WRITES_A_SECOND,
  });
  const settled = (): Promise<unknown> => {
    const { acknowledged } = writer.counts;
    return waitFor(() => writer.counts.acknowledged >= acknowledged + SETTLED_AFTER, {
      deadlineMs: 30_000,
      what: `acknowledged writes to ${database}`,
    });
  };
  try {
    await settled();
    await change();
    await settled();
  } finally {
    await writer.stop();
  }
  const { longestGapMs, acknowledged, failed } = writer.counts;
  const { lost } = await writer.verify(await fleet.leader(database));
  return { outageMs: longestGapMs, acknowledged, failed, lost };
}
