/** Validates the argument of a workflow before anything else happens. Not for workflow code: it imports zod. */

import * as z from 'zod';
import { FleetError } from './errors.js';
import { didYouMean, nameProblem } from './nameRule.js';
import type { WorkflowType } from './names.js';
import { LONGEST_PAUSE_S, PAUSE_FORKS } from './pausedFork.js';
import { quote } from './quantities.js';
import { BRING_UP_WAYS } from './requests.js';
import type { RequestByType } from './requests.js';

const LONGEST_TEXT = 1_000;

const name = z.string().superRefine((value, context) => {
  const problem = nameProblem(value);
  if (problem !== null) context.addIssue(problem);
});

const text = z
  .string()
  .max(LONGEST_TEXT, `this is longer than ${LONGEST_TEXT} characters, write less`)
  .refine((value) => value.trim() !== '', 'this is empty, write a few words');

const path = z
  .string()
  .refine((value) => /^\/./.test(value), 'this is not an absolute path, write one that begins with /');

const approvals = z.record(z.string(), z.strictObject({ by: text, reason: text }).readonly()).readonly();

const instant = z
  .string()
  .refine(
    (value) => /^\d{4}-\d\d-\d\dT/.test(value) && !Number.isNaN(Date.parse(value)),
    'this is not a time, write one like 2026-01-31T12:00:00Z',
  );

const port = z
  .number()
  .refine(
    (value) => Number.isInteger(value) && value >= 1_024 && value <= 65_535,
    'this is not a port from 1024 to 65535',
  );

const pauseSeconds = z
  .number()
  .refine(
    (value) => Number.isInteger(value) && value >= 1 && value <= LONGEST_PAUSE_S,
    `this is not a whole number of seconds from 1 to ${LONGEST_PAUSE_S}`,
  );

const pauseWrites = z.strictObject({ seconds: pauseSeconds }).readonly();

/** Slower, and Redis takes its follower for lost. */
const SLOWEST_COPY = 1024 * 1024;

const bandwidth = z
  .number()
  .refine(
    (value) => Number.isInteger(value) && value >= SLOWEST_COPY,
    `this is not a whole number of bytes a second, of at least ${SLOWEST_COPY}`,
  );

const wholeNumber = z
  .number()
  .refine((value) => Number.isInteger(value) && value >= 1, 'this is not a whole number of at least 1');

/** Exactly one of these says which databases it is about. */
function exactlyOneOf(...fields: readonly [string, ...string[]]) {
  return (request: object, context: z.core.$RefinementCtx): void => {
    const given = fields.filter((field) => field in request);
    if (given.length === 1) return;
    context.addIssue({
      code: 'custom',
      path: [given[1] ?? fields[0]],
      message:
        given.length === 0
          ? `this is missing, write it, or one of ${fields.slice(1).join(', ')}`
          : `there is ${given.join(' and ')}, write only one of them`,
    });
  };
}

const names = z
  .array(name)
  .min(1, 'this is an empty list, name at least one')
  .max(1_000, 'these are more than 1,000, name fewer')
  .refine((list) => new Set(list).size === list.length, 'the same name stands there twice, write it once')
  .readonly();

/** Exported so that a test can hold them equal to the interfaces, field by field. */
export const requestSchemas = {
  provisionServer: z.strictObject({ server: name, approved: approvals.exactOptional() }).readonly(),
  bringUpFollower: z
    .strictObject({
      database: name,
      host: name.exactOptional(),
      backup: z.strictObject({ file: path }).readonly().exactOptional(),
      way: z.enum(BRING_UP_WAYS).exactOptional(),
      pauseWrites: pauseWrites.exactOptional(),
      approved: approvals.exactOptional(),
    })
    .readonly(),
  switchover: z
    .strictObject({
      database: name.exactOptional(),
      databases: names.exactOptional(),
      host: name.exactOptional(),
      expectedLeader: name.exactOptional(),
      dryRun: z.boolean().exactOptional(),
      approved: approvals.exactOptional(),
    })
    .superRefine(exactlyOneOf('database', 'databases', 'host'))
    .readonly(),
  promoteFollower: z
    .strictObject({
      database: name.exactOptional(),
      databases: names.exactOptional(),
      host: name.exactOptional(),
      zone: name.exactOptional(),
      expectedLeader: name.exactOptional(),
      allowDataLoss: names.exactOptional(),
      ask: z.boolean().exactOptional(),
      detected: z
        .strictObject({ by: text, why: z.record(z.string(), text).readonly() })
        .readonly()
        .exactOptional(),
      dryRun: z.boolean().exactOptional(),
      approved: approvals.exactOptional(),
    })
    .superRefine(exactlyOneOf('database', 'databases', 'host', 'zone'))
    .readonly(),
  relocateDatabases: z
    .strictObject({
      host: name.exactOptional(),
      drain: name.exactOptional(),
      rebalance: z.literal(true).exactOptional(),
      dryRun: z.boolean().exactOptional(),
      withoutAskingBelow: wholeNumber.exactOptional(),
      horizon: wholeNumber.exactOptional(),
      atOnce: wholeNumber.exactOptional(),
      bandwidth: bandwidth.exactOptional(),
      pauseWrites: pauseWrites.exactOptional(),
      approved: approvals.exactOptional(),
    })
    .superRefine(exactlyOneOf('host', 'drain', 'rebalance'))
    .readonly(),
  moveDatabase: z
    .strictObject({
      database: name,
      to: z
        .union(
          [
            z.strictObject({ server: name, leader: name.exactOptional() }).readonly(),
            z
              .strictObject({ leader: name, follower: name })
              .refine(({ leader, follower }) => leader !== follower, 'leader and follower are the same host')
              .readonly(),
          ],
          {
            error:
              'this is neither {"server":"redis-02"} nor {"leader":"redis-02-a","follower":"redis-02-b"}',
          },
        )
        .readonly(),
      port: port.exactOptional(),
      bandwidth: bandwidth.exactOptional(),
      pauseWrites: pauseWrites.exactOptional(),
      expectedLeader: name.exactOptional(),
      ask: z.boolean().exactOptional(),
      approved: approvals.exactOptional(),
    })
    .readonly(),
  pauseWrites: z
    .strictObject({
      database: name.exactOptional(),
      host: name.exactOptional(),
      seconds: pauseSeconds.exactOptional(),
      fork: z.enum(PAUSE_FORKS).exactOptional(),
      approved: approvals.exactOptional(),
    })
    .superRefine(exactlyOneOf('database', 'host'))
    .readonly(),
  watchServer: z.strictObject({ server: name }).readonly(),
  drillBackups: z.strictObject({ database: name.exactOptional(), host: name.exactOptional() }).readonly(),
  restoreDatabase: z
    .strictObject({
      database: name,
      from: z
        .union([text, z.strictObject({ asOf: instant }).readonly()], {
          error: 'this is neither "newest", nor the id of a backup, nor {"asOf":"2026-01-31T12:00:00Z"}',
        })
        .exactOptional(),
      into: z
        .union(
          [
            z.literal('in-place'),
            z
              .strictObject({ database: name, server: name.exactOptional(), port: port.exactOptional() })
              .readonly(),
          ],
          {
            error:
              'this is neither "in-place" nor {"database":"sessions-03-restored"} (with server and port, if they matter)',
          },
        )
        .exactOptional(),
      host: name.exactOptional(),
      dryRun: z.boolean().exactOptional(),
      approved: approvals.exactOptional(),
    })
    .readonly(),
  backupDatabase: z.strictObject({ database: name, approved: approvals.exactOptional() }).readonly(),
  backupSweep: z.strictObject({ host: name, approved: approvals.exactOptional() }).readonly(),
} satisfies SchemaByType;

type SchemaByType = { readonly [T in WorkflowType]: z.ZodType<RequestByType[T]> };

const EXAMPLES: Readonly<Record<WorkflowType, string>> = {
  provisionServer: '{"server":"redis-01"}',
  bringUpFollower: '{"database":"sessions-03"}',
  switchover: '{"database":"sessions-03"}',
  promoteFollower: '{"database":"sessions-03"}',
  moveDatabase: '{"database":"sessions-03","to":{"server":"redis-02"}}',
  relocateDatabases: '{"host":"redis-01-a"}',
  pauseWrites: '{"database":"sessions-03","seconds":10}',
  watchServer: '{"server":"redis-01"}',
  restoreDatabase: '{"database":"sessions-03"}',
  drillBackups: '{}',
  backupDatabase: '{"database":"sessions-03"}',
  backupSweep: '{"host":"redis-01-b"}',
};

/**
 * The argument of a workflow as its type has it.
 * @throws InvalidRequest that names every wrong field, and shows a right argument
 */
export function parseRequest<T extends WorkflowType>(type: T, input: unknown): RequestByType[T] {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new FleetError(
      'InvalidRequest',
      `${type} takes one JSON object, not ${quote(input)}: write for example ${EXAMPLES[type]}. Nothing was done.`,
    );
  }
  const schemas: SchemaByType = requestSchemas;
  const schema = schemas[type];
  const parsed = schema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) => explain(issue, type));
  throw new FleetError(
    'InvalidRequest',
    `The argument of ${type} is wrong: ${problems.join('; ')}. Write for example ${EXAMPLES[type]}. Nothing was done.`,
  );
}

function explain(issue: z.core.$ZodIssue, type: WorkflowType): string[] {
  const field = issue.path.map(String).join('.');
  if (issue.code === 'unrecognized_keys') {
    const known =
      issue.path.length === 0 ? fieldsOf(type) : (OTHER_FIELDS[String(issue.path[0])] ?? ['by', 'reason']);
    return issue.keys.map((key) => {
      const meant = didYouMean(key, known);
      const instead = meant === null ? `the fields are ${known.join(', ')}` : `write ${meant} instead`;
      return `${field === '' ? key : `${field}.${key}`}: there is no such field, ${instead}`;
    });
  }
  if (issue.code === 'invalid_type') {
    const wanted = issue.expected === 'record' ? 'object' : issue.expected;
    const found = issue.input === undefined ? 'this is missing' : `${quote(issue.input)} is not right`;
    return [`${field}: ${found}, write ${wanted === 'object' ? 'an object' : `a ${wanted}`}`];
  }
  if (issue.code === 'invalid_value') {
    return [`${field}: ${quote(issue.input)} is not one of ${issue.values.map(String).join(', ')}`];
  }
  return [`${field}: ${issue.message}`];
}

/** The fields of what stands inside a request; approvals have others. */
const OTHER_FIELDS: Readonly<Record<string, readonly string[]>> = {
  backup: ['file'],
  pauseWrites: ['seconds'],
  detected: ['by', 'why'],
};

function fieldsOf(type: WorkflowType): string[] {
  return Object.keys(requestSchemas[type].unwrap().shape);
}
