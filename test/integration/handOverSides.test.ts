import { createServer, type AddressInfo, type Server } from 'node:net';
import { expect, test } from 'vitest';
import { openSide } from '../../src/activities/handOverSides.js';

const CREDENTIALS = { administrator: 'a', replication: 'r', application: 'p' };

// No Redis: the moment between the end of a process's connections and that of its port cannot be staged with one.
test('a process that is met while it ends is gone, not silent: nobody has to be asked whether it leads', async () => {
  let met = 0;
  const server = await listening((port) => {
    met++;
    if (met === 2) port.close();
  });
  const side = await openSide(endpointOf(server), CREDENTIALS);
  side.redis.disconnect();
  expect(side.seen).toMatchObject({ seen: 'gone' });
  expect(met).toBe(2);
});

test('one that goes on closing every connection is silent, soon', async () => {
  const server = await listening(() => undefined);
  try {
    const began = performance.now();
    const side = await openSide(endpointOf(server), CREDENTIALS);
    side.redis.disconnect();
    expect(side.seen.seen).toBe('silent');
    expect(performance.now() - began).toBeLessThan(1_000);
  } finally {
    server.close();
  }
});

/** Takes connections and closes them. */
async function listening(onConnection: (port: Server) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resetAndDestroy();
    onConnection(server);
  });
  return await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function endpointOf(server: Server) {
  const { address, port } = server.address() as AddressInfo;
  return { host: 'redis-01-a', address, port };
}
