/**
 * Who leads, as the catalog says it: changed for all of a database's instances in one transaction of Consul, so that
 * nobody who asks ever finds two leaders, or none in between. Agents alone, each for its own process, cannot do that.
 */

import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';
import { sameEndpoint, type DatabaseRecord, type Endpoint } from '../fleet/record.js';
import { MANAGER } from './catalog.js';

const ATTEMPTS = 3;
/** Consul takes no more operations in one transaction. */
const MOST_OPERATIONS = 64;
const LISTED_AT_ONCE = 4;

export interface Unsettled {
  readonly record: DatabaseRecord;
  readonly error: FleetError;
}

/**
 * The same for many databases: they share as few transactions as they fit in, since each costs Consul and everybody who
 * follows its catalog. Returns those that cannot be corrected now (they change too fast, or it is not permitted): they
 * hold up no others.
 * @throws FleetError Unreachable, WrongCredentials: none, some or all of them were corrected
 */
export async function settleAllRoles(
  consul: FleetConsul,
  { fleet, records }: { readonly fleet: string; readonly records: readonly DatabaseRecord[] },
): Promise<readonly Unsettled[]> {
  const unsettled: Unsettled[] = [];
  let together: { readonly record: DatabaseRecord; readonly operations: readonly unknown[] }[] = [];
  const commitTogether = async (): Promise<void> => {
    const batch = together;
    together = [];
    const operations = batch.flatMap((one) => one.operations);
    if (operations.length === 0) return;
    const databases = batch.map(({ record }) => record.database).join(', ');
    if (await commit(consul, databases, operations)) return;
    // One of them changed meanwhile, and held up the others.
    for (const { record } of batch) {
      try {
        await settleRoles(consul, { fleet, record });
      } catch (error) {
        if (!(error instanceof FleetError)) throw error;
        unsettled.push({ record, error });
      }
    }
  };
  for (let at = 0; at < records.length; at += LISTED_AT_ONCE) {
    const listed = await Promise.all(
      records.slice(at, at + LISTED_AT_ONCE).map(async (record) => ({
        record,
        operations: corrections(await listInstances(consul, fleet, record.database), record),
      })),
    );
    for (const one of listed) {
      const size = together.reduce((sum, { operations }) => sum + operations.length, 0);
      if (size + one.operations.length > MOST_OPERATIONS) await commitTogether();
      together.push(one);
    }
  }
  await commitTogether();
  return unsettled;
}

/**
 * Every instance of the database that is registered gets the tag that its record gives it. An instance that is ahead of
 * the record stops it: the record was read too long ago.
 * @throws FleetError Unreachable, WrongCredentials
 */
export async function settleRoles(
  consul: FleetConsul,
  { fleet, record }: { readonly fleet: string; readonly record: DatabaseRecord },
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const operations = corrections(await listInstances(consul, fleet, record.database), record);
    if (operations.length === 0) return;
    if (await commit(consul, record.database, operations)) return;
    // Somebody registered meanwhile: look again.
    if (attempt === ATTEMPTS) {
      throw new FleetError(
        'Unreachable',
        `The catalog's entries of ${record.database} change faster than they can be corrected. They are corrected later.`,
      );
    }
  }
}

/** None: all is right, or the record was read too long ago. */
function corrections(instances: readonly Instance[], record: DatabaseRecord): readonly unknown[] {
  if (instances.some(({ epoch }) => epoch > record.epoch)) return [];
  return instances
    .filter((instance) => !isRight(instance, record))
    .map((instance) => operation(instance, record));
}

interface Instance {
  readonly node: string;
  readonly endpoint: Endpoint;
  readonly epoch: number;
  readonly tags: readonly string[];
  /** As Consul's transactions take it. */
  readonly service: Readonly<Record<string, unknown>>;
}

async function listInstances(
  consul: FleetConsul,
  fleet: string,
  database: string,
): Promise<readonly Instance[]> {
  const answer: unknown = await consul.call(`list the instances of ${database}`, (client) =>
    client.catalog.service.nodes({ service: database }),
  );
  return (Array.isArray(answer) ? answer : []).flatMap((entry: unknown) => toInstance(entry, fleet));
}

function toInstance(entry: unknown, fleet: string): readonly Instance[] {
  if (!isObject(entry) || !isObject(entry['ServiceMeta'])) return [];
  const { Node: node, ServiceAddress: address, ServicePort: port, ServiceTags: tags } = entry;
  const meta = entry['ServiceMeta'];
  if (meta['managed-by'] !== MANAGER || meta['fleet'] !== fleet) return [];
  const { host } = meta;
  if (typeof host !== 'string' || typeof address !== 'string' || typeof port !== 'number') return [];
  if (typeof node !== 'string') return [];
  const service = {
    ID: entry['ServiceID'],
    Service: entry['ServiceName'],
    Address: address,
    Port: port,
    Meta: meta,
    Weights: entry['ServiceWeights'],
    EnableTagOverride: entry['ServiceEnableTagOverride'],
    ModifyIndex: entry['ModifyIndex'],
  };
  const epoch = Number(meta['epoch']);
  return [
    {
      node,
      endpoint: { host, address, port },
      epoch,
      tags: Array.isArray(tags) ? tags.map(String) : [],
      service,
    },
  ];
}

function tagsOf(endpoint: Endpoint, record: DatabaseRecord): readonly string[] {
  if (sameEndpoint(endpoint, record.leader)) return ['leader'];
  const followers = [record.follower, ...(record.extraFollowers ?? [])];
  const follows = followers.some((follower) => follower !== null && sameEndpoint(follower, endpoint));
  // Whoever registered it takes it back; until then nobody finds it as either.
  return follows ? ['follower'] : [];
}

function isRight({ endpoint, tags }: Instance, record: DatabaseRecord): boolean {
  const wanted = tagsOf(endpoint, record);
  return wanted.length === tags.length && wanted.every((tag) => tags.includes(tag));
}

function operation({ node, endpoint, service }: Instance, record: DatabaseRecord): unknown {
  const meta = { ...(isObject(service['Meta']) ? service['Meta'] : {}), epoch: String(record.epoch) };
  const Service = { ...service, Tags: tagsOf(endpoint, record), Meta: meta };
  return { Service: { Verb: 'cas', Node: node, Service } };
}

/** false: an instance had changed since it was listed. */
async function commit(
  consul: FleetConsul,
  database: string,
  operations: readonly unknown[],
): Promise<boolean> {
  return await consul.call(`correct the catalog's entries of ${database}`, async (client) => {
    try {
      // The library's types know key-value operations only.
      await client.transaction.create(operations as never);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  });
}

function isConflict(error: unknown): boolean {
  if (!isObject(error) || !isObject(error['response'])) return false;
  return error['response']['statusCode'] === 409;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
