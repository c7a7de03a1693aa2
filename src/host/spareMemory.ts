import { setFlagsFromString } from 'node:v8';

/** Call before anything large is loaded: memory on a host belongs to Redis, and the agent has time. */
export function spareMemory(): void {
  setFlagsFromString('--optimize-for-size');
  setFlagsFromString('--max-semi-space-size=1');
}
