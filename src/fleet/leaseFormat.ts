/** Reads a lease from its text in Consul. By hand, without a schema library: agents live where memory is tight. */

import type { ReplicationPosition } from './facts.js';
import type { HostLease, ProcessPulse, Pulse } from './lease.js';
import { checker, isObject } from './recordFormat.js';

const PULSES: readonly Pulse[] = ['up', 'loading', 'gone', 'silent'];
const MOST = Number.MAX_SAFE_INTEGER;

/** Fields that we do not know are kept as they are. @throws FleetError InvalidRecord */
export function parseLease(text: string, key: string): HostLease {
  const check = checker(
    key,
    `remove it with \`consul kv delete ${key}\`: the agent of that host takes its lease anew within seconds.`,
  );
  const document = check.document(text);
  const { host, agent, term, renewal, ttl, broken, left, at, processes, leaders } = document;
  if (left !== undefined && left !== true) throw check.wrong('left', 'must be true, or left out', left);
  return {
    ...document,
    host: check.text('host', host),
    agent: check.text('agent', agent),
    term: check.wholeNumber('term', term, 1, MOST),
    renewal: check.wholeNumber('renewal', renewal, 1, MOST),
    ttl: check.wholeNumber('ttl', ttl, 1, MOST),
    ...(broken === undefined ? {} : { broken: breaking(broken) }),
    ...(left === undefined ? {} : { left }),
    at: check.instant('at', at),
    processes: each('processes', processes, processPulse),
    leaders: each('leaders', leaders, pulse),
  };

  function each<T>(
    field: string,
    value: unknown,
    read: (field: string, value: unknown) => T,
  ): Readonly<Record<string, T>> {
    if (!isObject(value)) throw check.wrong(field, 'must be an object with one field per database', value);
    return Object.fromEntries(
      Object.entries(value).map(([database, one]) => [database, read(`${field}.${database}`, one)]),
    );
  }

  function breaking(value: unknown): { by: string; why: string } {
    if (!isObject(value)) throw check.wrong('broken', 'must be an object, or left out', value);
    return {
      ...value,
      by: check.text('broken.by', value['by']),
      why: check.text('broken.why', value['why']),
    };
  }

  function pulse(field: string, value: unknown): Pulse {
    const known = PULSES.find((one) => one === value);
    if (known !== undefined) return known;
    throw check.wrong(field, `must be one of ${PULSES.join(', ')}`, value);
  }

  function processPulse(field: string, value: unknown): ProcessPulse {
    if (!isObject(value)) throw check.wrong(field, 'must be an object', value);
    const { role, link, runId, fenced } = value;
    if (role !== 'leader' && role !== 'follower')
      throw check.wrong(`${field}.role`, 'must be leader or follower', role);
    if (link !== null && link !== 'up' && link !== 'down')
      throw check.wrong(`${field}.link`, 'must be up, down or null', link);
    return {
      ...value,
      role,
      pulse: pulse(`${field}.pulse`, value['pulse']),
      runId: runId === null ? null : check.text(`${field}.runId`, runId),
      position: position(`${field}.position`, value['position']),
      link,
      fenced: fenced === null ? null : check.text(`${field}.fenced`, fenced),
    };
  }

  function position(field: string, value: unknown): ReplicationPosition | null {
    if (value === null) return null;
    if (!isObject(value)) throw check.wrong(field, 'must be an object with id and offset, or null', value);
    return {
      id: check.text(`${field}.id`, value['id']),
      offset: check.wholeNumber(`${field}.offset`, value['offset'], 0, MOST),
    };
  }
}
