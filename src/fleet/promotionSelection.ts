/** Which databases a request for a promotion means. Pure. */

import { FleetError } from './errors.js';
import type { ErrorKind } from './errors.js';
import type { Fleet } from './fleet.js';
import { didYouMean } from './nameRule.js';
import { sameRun } from './ownership.js';
import { promotedByOwner } from './promotion.js';
import type { DatabaseRecord, Operation, StoredRecord } from './record.js';
import type { PromoteFollowerRequest } from './requests.js';

export interface Selection {
  readonly chosen: readonly StoredRecord[];
  readonly refused: readonly {
    readonly database: string;
    readonly claimed: false;
    readonly kind: ErrorKind;
    readonly why: string;
  }[];
}

/** All records, and those that cannot be read. */
export interface Listed {
  readonly records: readonly StoredRecord[];
  readonly invalid: readonly { readonly database: string; readonly problem: FleetError }[];
}

/**
 * What an earlier attempt of the same run has claimed or promoted belongs to it, although its leader is another by now.
 * @throws FleetError NotFound, InvalidRequest
 */
export function selectForPromotion(
  request: PromoteFollowerRequest,
  fleet: Pick<Fleet, 'name' | 'servers'>,
  listed: Listed,
  operation: Operation,
): Selection {
  const isOwn = ({ record }: StoredRecord): boolean =>
    record.operation !== undefined && sameRun(record.operation, operation);
  const own = listed.records.filter(isOwn);
  const meant = meantBy(request, fleet, listed);
  const all = [...meant, ...own.filter((stored) => !meant.includes(stored))];
  requireKnownNames(request, all);
  const { expectedLeader } = request;
  const other = (stored: StoredRecord): boolean =>
    expectedLeader !== undefined &&
    stored.record.leader.host !== expectedLeader &&
    !(isOwn(stored) && promotedByOwner(stored.record));
  return {
    chosen: all.filter((stored) => !other(stored)),
    refused: all.filter(other).map(({ record: { database, leader } }) => ({
      database,
      claimed: false,
      kind: 'RecordChanged',
      why:
        `${database} is led by ${leader.host}, not by ${expectedLeader ?? ''}: somebody else changed that already. Nothing was changed. ` +
        'Look with `redis-fleet status`.',
    })),
  };
}

function meantBy(
  request: PromoteFollowerRequest,
  fleet: Pick<Fleet, 'name' | 'servers'>,
  listed: Listed,
): readonly StoredRecord[] {
  const { database, databases, host, zone } = request;
  const led = listed.records.filter(({ record }) => record.epoch > 0);
  const hosts = fleet.servers.flatMap((server) => server.hosts);
  if (host !== undefined) {
    requireKnown(
      'host',
      host,
      hosts.map(({ name }) => name),
      fleet.name,
    );
    return ledBy(led, [host], `host ${host}`);
  }
  if (zone !== undefined) {
    requireKnown(
      'zone',
      zone,
      hosts.map((one) => one.zone),
      fleet.name,
    );
    const inZone = hosts.filter((one) => one.zone === zone).map(({ name }) => name);
    return ledBy(led, inZone, `zone ${zone}`);
  }
  const names = databases ?? (database === undefined ? [] : [database]);
  return names.map((name) => {
    const found = led.find(({ record }) => record.database === name);
    if (found !== undefined) return found;
    const unreadable = listed.invalid.find((one) => one.database === name);
    if (unreadable !== undefined) throw unreadable.problem;
    const meant = didYouMean(
      name,
      led.map(({ record }) => record.database),
    );
    throw new FleetError(
      'NotFound',
      `Fleet ${fleet.name} has no database ${name} that is led by anybody. Nothing was changed. ` +
        (meant === null ? 'See which there are: redis-fleet status' : `Did you mean ${meant}?`),
    );
  });
}

/** Those that this run promoted in an attempt before do not need to be led there any more. */
function ledBy(
  records: readonly StoredRecord[],
  hosts: readonly string[],
  what: string,
): readonly StoredRecord[] {
  const left = ({ record }: StoredRecord): boolean =>
    promotedByOwner(record) && hosts.includes(record.promotion.from.host);
  const found = records.filter(({ record }) => hosts.includes(record.leader.host));
  if (found.length > 0 || records.some(left)) return found;
  throw new FleetError(
    'NotFound',
    `No database is led from ${what}: there is nothing to promote. See: redis-fleet status`,
  );
}

function requireKnown(field: string, name: string, known: readonly string[], fleet: string): void {
  if (known.includes(name)) return;
  const meant = didYouMean(name, known);
  throw new FleetError(
    'InvalidRequest',
    `${field}: fleet ${fleet} has no ${field} ${name}. ` +
      `${meant === null ? `It has ${[...new Set(known)].join(', ')}.` : `Did you mean ${meant}?`} Nothing was changed.`,
  );
}

/** A name that is written wrong must not count as an engineer's word for nothing. */
function requireKnownNames(
  { allowDataLoss = [] }: PromoteFollowerRequest,
  chosen: readonly StoredRecord[],
): void {
  const names = chosen.map(({ record }: { record: DatabaseRecord }) => record.database);
  const stray = allowDataLoss.find((name) => !names.includes(name));
  if (stray === undefined) return;
  const meant = didYouMean(stray, names);
  throw new FleetError(
    'InvalidRequest',
    `allowDataLoss: ${stray} is not among the databases of this promotion (${names.join(', ')}). ` +
      `${meant === null ? 'Name one of them.' : `Did you mean ${meant}?`} Nothing was changed.`,
  );
}
