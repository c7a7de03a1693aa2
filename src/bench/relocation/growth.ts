/** Applications whose data grow: new keys all the time, each remembered when it is acknowledged. */

import type { Redis } from 'ioredis';
import { openClient, type Address, type Login } from '../../testbed/clients.js';
import { SeededRandom } from '../../testbed/random.js';
import { pause } from '../../testbed/waiting.js';

const VALUE_BYTES = 4_000;
const TICK_MS = 10;
const READ_BATCH = 500;
/** A write that waits longer is given up: its outcome is unknown. */
const MOST_WAITING = 2_000;

export interface Growth {
  readonly acknowledged: number;
  stop(): Promise<void>;
  /** Acknowledged, and not there. */
  lostAt(where: Address, login: Login): Promise<number>;
}

/** @param open a client that follows its leader by itself; it is disconnected in the end */
export function grow(open: () => Redis, prefix: string, bytesPerSecond: number): Growth {
  const client = open();
  const values = new SeededRandom(7);
  const text = Array.from({ length: VALUE_BYTES }, () =>
    String.fromCharCode(97 + Math.floor(values.next() * 26)),
  ).join('');
  const acknowledged: number[] = [];
  let next = 0;
  let waiting = 0;
  let running = true;

  async function run(): Promise<void> {
    const rate = bytesPerSecond / VALUE_BYTES;
    const began = performance.now();
    let due = 0;
    const stopped = (): boolean => !running;
    while (!stopped()) {
      const wanted = Math.floor(((performance.now() - began) / 1000) * rate) - due;
      due += wanted;
      for (let n = 0; n < wanted && waiting < MOST_WAITING; n++) write(next++);
      await pause(TICK_MS);
    }
    while (waiting > 0) await pause(TICK_MS);
    client.disconnect();
  }

  function write(sequence: number): void {
    waiting += 1;
    client
      .set(`${prefix}${String(sequence)}`, `${String(sequence)}:${text}`)
      .then(
        () => void acknowledged.push(sequence),
        () => undefined,
      )
      .finally(() => {
        waiting -= 1;
      });
  }

  const loop = run();
  return {
    get acknowledged() {
      return acknowledged.length;
    },
    async stop() {
      running = false;
      await loop;
    },
    async lostAt(where, login) {
      const reader = openClient(where, login, 30_000);
      try {
        await reader.connect();
        let lost = 0;
        for (let at = 0; at < acknowledged.length; at += READ_BATCH) {
          const batch = acknowledged.slice(at, at + READ_BATCH);
          const found = await reader.mget(batch.map((sequence) => `${prefix}${String(sequence)}`));
          lost += batch.filter(
            (sequence, index) => found[index]?.startsWith(`${String(sequence)}:`) !== true,
          ).length;
        }
        return lost;
      } finally {
        reader.disconnect();
      }
    },
  };
}
