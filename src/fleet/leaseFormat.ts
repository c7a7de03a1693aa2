/** Reads a lease from its text in Consul. By hand, without a schema library: agents live where memory is tight. */

import { FleetError } from './errors.js';
import type { HostLease } from './lease.js';

/** @throws FleetError InvalidRecord */
export function parseLease(text: string, key: string): HostLease {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = null;
  }
  if (isLease(value)) return value;
  throw new FleetError(
    'InvalidRecord',
    `Consul key ${key} does not hold a lease. See it with \`consul kv get ${key}\`; remove it with ` +
      `\`consul kv delete ${key}\`, and its agent takes it anew.`,
  );
}

function isLease(value: unknown): value is HostLease {
  if (typeof value !== 'object' || value === null) return false;
  const field = (name: string): unknown => Reflect.get(value, name) as unknown;
  return (
    typeof field('host') === 'string' &&
    typeof field('agent') === 'string' &&
    ['term', 'renewal', 'ttl'].every((name) => Number.isSafeInteger(field(name))) &&
    ['processes', 'leaders'].every((name) => typeof field(name) === 'object' && field(name) !== null)
  );
}
