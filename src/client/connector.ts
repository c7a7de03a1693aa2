/** ioredis's way to say where connections come from. */

import type { Socket } from 'node:net';
import { AbstractConnector, type RedisOptions } from 'ioredis';
import type { Route } from './route.js';

/** A frozen process never closes its side. Milliseconds. */
const DISCONNECT_TIMEOUT_MS = 100;

/** @param onClose called before ioredis learns of it */
export function connectorFor(route: Route, onClose: () => void): NonNullable<RedisOptions['Connector']> {
  return class FleetConnector extends AbstractConnector {
    readonly #options: { host?: string; port?: number };

    constructor(options: unknown) {
      super(DISCONNECT_TIMEOUT_MS);
      this.#options = options as { host?: string; port?: number };
    }

    override async connect(): Promise<Socket> {
      this.connecting = true;
      const socket = await route.open();
      // Before ioredis's own listener.
      socket.once('close', onClose);
      socket.once('error', (error) => (this.firstError = error));
      this.stream = socket;
      // What ioredis shows in traces and debug lines.
      const { at } = route;
      if (at) Object.assign(this.#options, { host: at.address, port: at.port });
      return socket;
    }

    override disconnect(): void {
      route.stop();
      super.disconnect();
    }
  };
}
