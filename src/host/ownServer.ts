/** A TCP server of the agent's own, on a free port, for as long as one piece of work takes. */

import { createServer, type Socket } from 'node:net';

export interface OwnServer {
  readonly address: string;
  readonly port: number;
  /** Ends every connection as well. */
  close(): void;
}

/** Has the server end this connection, too, when it closes. */
export type Keep = (socket: Socket) => void;

/** @param serve a connection that was accepted, which is kept already; `keep` is for others that belong to it */
export async function ownServer(
  address: string,
  serve: (socket: Socket, keep: Keep) => void,
): Promise<OwnServer> {
  const sockets = new Set<Socket>();
  const keep: Keep = (socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const server = createServer((socket) => {
    keep(socket);
    serve(socket, keep);
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, address, () => {
      const bound = server.address();
      if (typeof bound === 'object' && bound !== null) resolve(bound.port);
    });
  });
  return {
    address,
    port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
