/** Switchovers one after the other, while a client writes as fast as the leader takes it. */

import { now } from '../../testbed/traffic.js';
import { pause } from '../../testbed/waiting.js';
import { Clients } from './observe.js';
import type { Stage } from './stage.js';

export interface FiftyObservation {
  readonly acknowledged: number;
  readonly lost: number;
  readonly outagesMs: readonly number[];
}

const SWITCHOVERS = 50;
const IN_FLIGHT = 256;
const SETTLE_MS = 500;

export async function fiftySwitchovers(stage: Stage, signal: AbortSignal): Promise<FiftyObservation> {
  const clients = await Clients.start(stage, { rate: 'full', inFlight: IN_FLIGHT, staying: 'nobody' });
  try {
    const began = now();
    const outagesMs: number[] = [];
    for (let n = 0; n < SWITCHOVERS; n++) {
      signal.throwIfAborted();
      const from = now();
      await stage.switchOver();
      await pause(SETTLE_MS);
      outagesMs.push((await clients.follower({ from })).longestGapMs);
    }
    const { acknowledged, lost } = await clients.finish(began);
    return { acknowledged, lost, outagesMs };
  } finally {
    clients.end();
  }
}
