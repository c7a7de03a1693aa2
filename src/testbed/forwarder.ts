/** Passes TCP connections on, so that a server can be reached at an address that it does not listen on. */

import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import type { Address } from './clients.js';

export interface Forwarder {
  readonly port: number;
  /** Connections end with it. */
  close(): void;
}

/** Listens at `listenAt`, on a port that the kernel chooses. */
export async function forwardTo(target: Address, listenAt: string): Promise<Forwarder> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => other.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  const server = createServer((incoming) => {
    const outgoing = connect(target.port, target.address);
    keep(incoming, outgoing);
    keep(outgoing, incoming);
    incoming.pipe(outgoing).pipe(incoming);
  });
  server.listen(0, listenAt);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
