/**
 * Reads what Consul holds. People edit records by hand at 3 a.m., so every field is checked, and a message names the
 * key, the field and the command that shows it. Checked by hand, without a schema library: agents live where memory is
 * tight.
 */

import { FleetError } from './errors.js';
import type { DatabaseRecord, Endpoint, ForkPermit, Operation, Promotion, Urgency } from './record.js';

const URGENCIES: readonly Urgency[] = ['routine', 'planned', 'urgent'];

/** Where a document stands, for messages. */
export interface Origin {
  /** Consul key. */
  readonly key: string;
}

/**
 * A record from its text in Consul. Fields that we do not know are kept as they are.
 * @throws FleetError InvalidRecord
 */
export function parseRecord(text: string, origin: Origin & { readonly database: string }): DatabaseRecord {
  const check = checker(origin.key);
  const document = check.document(text);
  const { database, server, epoch, leader, follower, extraFollowers, operation, promotion } = document;
  const { updatedAt, updatedBy } = document;
  if (database !== origin.database) {
    throw check.wrong('database', `must be "${origin.database}", as in its key`, database);
  }
  const extras: unknown[] = extraFollowers === undefined ? [] : check.list('extraFollowers', extraFollowers);
  const record: DatabaseRecord = {
    // What other tools keep in a record is theirs.
    ...document,
    database: origin.database,
    server: check.text('server', server),
    epoch: check.wholeNumber('epoch', epoch, 0, Number.MAX_SAFE_INTEGER),
    leader: check.endpoint('leader', leader),
    follower: follower === null || follower === undefined ? null : check.endpoint('follower', follower),
    ...(extraFollowers === undefined
      ? {}
      : { extraFollowers: extras.map((extra, at) => check.endpoint(`extraFollowers[${at}]`, extra)) }),
    ...(operation === undefined ? {} : { operation: check.operation('operation', operation) }),
    ...(promotion === undefined ? {} : { promotion: check.promotion('promotion', promotion) }),
    updatedAt: check.instant('updatedAt', updatedAt),
    updatedBy: check.text('updatedBy', updatedBy),
  };
  if (record.follower?.host === record.leader.host) {
    throw check.wrong('follower.host', "must not be the leader's host", record.follower.host);
  }
  if (record.extraFollowers?.some((extra) => extra.host === record.leader.host)) {
    throw check.wrong('extraFollowers', "must not contain the leader's host", extraFollowers);
  }
  return record;
}

/** @throws FleetError InvalidRecord */
export function parsePermit(text: string, origin: Origin): ForkPermit {
  const check = checker(origin.key);
  const document = check.document(text);
  return {
    ...document,
    host: check.text('host', document['host']),
    database: check.text('database', document['database']),
    reason: check.text('reason', document['reason']),
    operation: check.operation('operation', document['operation']),
  };
}

/** Checks fields of the document at `key`. `remedy`: what a person does about one that is wrong. */
export function checker(
  key: string,
  remedy = `repair that field with \`consul kv put ${key} @FILE\`, and try again.`,
) {
  const wrong = (field: string, must: string, is: unknown): FleetError =>
    new FleetError(
      'InvalidRecord',
      `Consul key ${key}: ${field} ${must}, and is ${shown(is)}. Nothing was changed. See it with \`consul kv get ${key}\`, ` +
        remedy,
    );
  const check = {
    wrong,
    document(text: string): Record<string, unknown> {
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch {
        throw wrong('its value', 'must be JSON', text);
      }
      if (!isObject(value)) throw wrong('its value', 'must be a JSON object', value);
      return value;
    },
    text(field: string, value: unknown): string {
      if (typeof value === 'string' && value !== '') return value;
      throw wrong(field, 'must be a text', value);
    },
    list(field: string, value: unknown): unknown[] {
      if (Array.isArray(value)) return value;
      throw wrong(field, 'must be a list', value);
    },
    wholeNumber(field: string, value: unknown, least: number, most: number): number {
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most)
        return value;
      throw wrong(
        field,
        `must be a whole number, ${least} or more${most < 1e6 ? `, at most ${most}` : ''}`,
        value,
      );
    },
    instant(field: string, value: unknown): string {
      if (typeof value === 'string' && !Number.isNaN(Date.parse(value))) return value;
      throw wrong(field, 'must be a time like 2026-01-31T12:00:00.000Z', value);
    },
    endpoint(field: string, value: unknown): Endpoint {
      if (!isObject(value)) throw wrong(field, 'must be an object with host, address and port', value);
      return {
        ...value,
        host: check.text(`${field}.host`, value['host']),
        address: check.text(`${field}.address`, value['address']),
        port: check.wholeNumber(`${field}.port`, value['port'], 1, 65_535),
      };
    },
    promotion(field: string, value: unknown): Promotion {
      if (!isObject(value)) throw wrong(field, 'must be an object, or left out', value);
      return {
        ...value,
        at: check.instant(`${field}.at`, value['at']),
        by: check.text(`${field}.by`, value['by']),
        from: check.endpoint(`${field}.from`, value['from']),
      };
    },
    operation(field: string, value: unknown): Operation {
      if (!isObject(value)) throw wrong(field, 'must be an object, or left out', value);
      const urgency = URGENCIES.find((known) => known === value['urgency']);
      if (urgency === undefined) {
        throw wrong(`${field}.urgency`, `must be one of ${URGENCIES.join(', ')}`, value['urgency']);
      }
      return {
        ...value,
        type: check.text(`${field}.type`, value['type']),
        workflowId: check.text(`${field}.workflowId`, value['workflowId']),
        runId: check.text(`${field}.runId`, value['runId']),
        urgency,
        since: check.instant(`${field}.since`, value['since']),
      };
    },
  };
  return check;
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
