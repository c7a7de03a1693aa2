/** For how long writes wait in a move, beside a switchover of the same database in the same run. */

import type { Redis } from 'ioredis';
import { connectFleet } from '../../client/index.js';
import { FleetError } from '../../fleet/errors.js';
import { startTestFleet } from '../../testbed/fleet.js';
import { loadData } from '../../testbed/load.js';
import { waitFor } from '../../testbed/waiting.js';
import { Writer } from '../../testbed/writer.js';
import { moveTo, switchOver } from './runs.js';

/** Milliseconds, one for each time. */
export interface Pauses {
  readonly size: string;
  readonly moves: readonly number[];
  readonly switchovers: readonly number[];
  /** Between two acknowledgements, as a client sees it. */
  readonly outages: { readonly moves: readonly number[]; readonly switchovers: readonly number[] };
}

export interface PausesMeasured {
  readonly pauses: readonly Pauses[];
  readonly acknowledged: number;
  readonly lost: number;
}

const SMALL_MEGABYTES = 1;

export async function measurePauses(
  repetitions: number,
  largeMegabytes: number,
  tell: (line: string) => void,
  signal: AbortSignal,
): Promise<PausesMeasured> {
  const fleet = await startTestFleet({
    servers: 2,
    databasesPerServer: 1,
    name: 'pauses',
    maxmemory: `${String(Math.max(64, largeMegabytes * 3))}MiB`,
    memory: '64GiB',
    signal,
  });
  const connected = connectFleet({ fleet: fleet.dev.fleet.name, consul: fleet.dev.consul });
  try {
    const pauses: Pauses[] = [];
    let [acknowledged, lost] = [0, 0];
    for (const [index, megabytes] of [SMALL_MEGABYTES, largeMegabytes].entries()) {
      const database = fleet.databases[index] ?? '';
      const where = await fleet.leader(database);
      await loadData({ ...fleet.application, where, megabytes, seed: index });
      const { password } = fleet.application;
      const open = (): Redis => connected.redis(database, { password });
      const writer = Writer.start({ open, ...fleet.application, rate: 1_000 });
      await goesOn(writer);
      const measured = { moves: [] as number[], switchovers: [] as number[] };
      const outages = { moves: [] as number[], switchovers: [] as number[] };
      for (let n = 1; n <= repetitions; n++) {
        signal.throwIfAborted();
        outages.switchovers.push(
          await outageDuring(writer, async () => {
            const { handedOver } = await switchOver(fleet, database);
            measured.switchovers.push(measuredOnly(handedOver[0]?.pausedMs));
          }),
        );
        const { server } = await fleet.record(database);
        const other = fleet.dev.fleet.servers.find(({ name }) => name !== server)?.name ?? '';
        outages.moves.push(
          await outageDuring(writer, async () => {
            measured.moves.push(measuredOnly((await moveTo(fleet, database, other)).pausedMs));
          }),
        );
        tell(
          `${String(megabytes)} MB, ${String(n)}/${String(repetitions)}: switchover ${shown(measured.switchovers)}, move ${shown(measured.moves)}`,
        );
      }
      await writer.stop();
      const verified = await writer.verify(await fleet.leader(database));
      acknowledged += verified.acknowledged;
      lost += verified.lost;
      pauses.push({ size: `${String(megabytes)} MB`, ...measured, outages });
    }
    return { pauses, acknowledged, lost };
  } finally {
    connected.close();
    await fleet.stop();
  }
}

async function outageDuring(writer: Writer, work: () => Promise<void>): Promise<number> {
  let [longest, last, count] = [0, performance.now(), writer.counts.acknowledged];
  const look = (): void => {
    const now = performance.now();
    if (writer.counts.acknowledged === count) return;
    [longest, last, count] = [Math.max(longest, now - last), now, writer.counts.acknowledged];
  };
  const timer = setInterval(look, 1);
  try {
    await work();
    await goesOn(writer);
    return longest;
  } finally {
    clearInterval(timer);
  }
}

async function goesOn(writer: Writer): Promise<void> {
  const { acknowledged } = writer.counts;
  await waitFor(() => writer.counts.acknowledged > acknowledged + 20, {
    deadlineMs: 60_000,
    everyMs: 5,
    what: 'writes to go on',
  });
}

/** An attempt that a worker lost has no measure; here no worker is lost. */
function measuredOnly(pausedMs: number | null | undefined): number {
  if (typeof pausedMs === 'number') return pausedMs;
  throw new FleetError('HandOverUndone', 'A hand-over was not measured.');
}

function shown(figures: readonly number[]): string {
  return `${(figures.at(-1) ?? 0).toFixed(1)} ms`;
}
