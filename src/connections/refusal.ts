/** Whether a port is shut: known for a tenth of what it costs a client to find out, when many processes end at once. */

import { connect } from 'node:net';
import type { Endpoint } from '../fleet/record.js';

/** The refusal; null: somebody accepts, or nobody says anything within `timeoutMs`. */
export function refusedBy({ address, port }: Endpoint, timeoutMs: number): Promise<Error | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const settle = (refusal: Error | null): void => {
      socket.destroy();
      resolve(refusal);
    };
    socket.once('connect', () => settle(null));
    socket.once('timeout', () => settle(null));
    socket.on('error', (error) => settle('code' in error && error.code === 'ECONNREFUSED' ? error : null));
  });
}
