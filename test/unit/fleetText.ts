/** A small fleet file to start a story from, and what it means. */

import { parseFleetFile } from '../../src/fleet/fleetFile.js';
import type { Fleet } from '../../src/fleet/fleet.js';

export const FLEET_TEXT = `fleet: demo
servers:
  - name: redis-01
    hosts:
      - { name: redis-01-a, zone: az-a, address: 127.0.1.1, memory: 1GiB }
      - { name: redis-01-b, zone: az-b, address: 127.0.1.2, memory: 1GiB }
  - name: redis-02
    hosts:
      - { name: redis-02-a, zone: az-b, address: 127.0.2.1, memory: 1GiB }
      - { name: redis-02-b, zone: az-c, address: 127.0.2.2, memory: 1GiB }
databases:
  - { name: sessions-00, server: redis-01, port: 6300, maxmemory: 256MiB }
  - { name: sessions-01, server: redis-01, port: 6301, maxmemory: 256MiB }
  - { name: carts-00, server: redis-02, port: 6310, maxmemory: 256MiB }
`;

/** The small fleet, with parts of its text replaced. Throws when there is nothing to replace. */
export function fleetText(...changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`The fleet file of the tests has no ${JSON.stringify(from)}.`);
    return text.replace(from, to);
  }, FLEET_TEXT);
}

export function fleetOf(...changes: readonly (readonly [from: string, to: string])[]): Fleet {
  return parseFleetFile(fleetText(...changes), 'fleet.yaml');
}

/** What is said about a wrong file; throws when it is accepted. */
export function problemsOf(text: string): string[] {
  try {
    parseFleetFile(text, 'fleet.yaml');
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  throw new Error('The fleet file was accepted.');
}
