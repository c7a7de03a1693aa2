/** Whether a port can be reached: known for a tenth of what it costs a client to find out, when many processes end at once. */

import { connect } from 'node:net';
import type { Endpoint } from '../fleet/record.js';

/** @throws Error with a `code`, as `node:net` has them: ECONNREFUSED (its port is shut), ETIMEDOUT, … */
export function reach({ address, port }: Endpoint, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const settle = (work: () => void): void => {
      socket.destroy();
      work();
    };
    socket.once('connect', () => settle(resolve));
    socket.once('timeout', () =>
      settle(() => reject(Object.assign(new Error('connect ETIMEDOUT'), { code: 'ETIMEDOUT' }))),
    );
    socket.on('error', (error) => settle(() => reject(error)));
  });
}
