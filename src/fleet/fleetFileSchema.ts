/** The fields of a fleet file. Each element is read by itself, so that one wrong one does not hide the others. */

import { isIP } from 'node:net';
import * as z from 'zod';
import type { Database, Fleet, Host, PromotionPolicy, Server } from './fleet.js';
import { didYouMean, nameProblem } from './nameRule.js';
import { parseDuration, parseSize, quote, showDuration, writeDuration } from './quantities.js';
import type { Parsed } from './quantities.js';
import { parseStoreUrl } from './backupStoreUrl.js';
import type { FieldPath } from './fleetFileSource.js';

const LOWEST_PORT = 1024;
const HIGHEST_PORT = 65_535;

const name = (example: string): z.ZodType<string> =>
  field(example, (value) => {
    if (typeof value !== 'string')
      return refuse(`${quote(value)} is not text, write for example ${example} instead`);
    const problem = nameProblem(value);
    return problem === null ? { ok: true, value } : refuse(problem);
  });

const address = field('10.0.1.1', (value) => {
  const family = typeof value === 'string' ? isIP(value) : 0;
  if (typeof value !== 'string' || family === 0) {
    return refuse(`${quote(value)} is not an IP address, write for example 10.0.1.1 instead`);
  }
  // One spelling for each address, so that two hosts at one address are seen as that.
  const canonical = family === 6 ? new URL(`http://[${value}]`).hostname.slice(1, -1) : value;
  return ['0.0.0.0', '255.255.255.255', '::'].includes(canonical)
    ? refuse(`${value} is no address of a single host, write the one that the other hosts reach instead`)
    : { ok: true, value: canonical };
});

const size = (example: string): z.ZodType<number> =>
  field(example, (value) => {
    const parsed = parseSize(value);
    return parsed.ok && parsed.value < 1024 ** 2
      ? refuse(`${quote(value)} is under 1 MiB, write for example ${example} instead`)
      : parsed;
  });

const duration = (example: string, least: number, most: number): z.ZodType<number> =>
  field(example, (value) => {
    const parsed = parseDuration(value);
    if (!parsed.ok || (parsed.value >= least && parsed.value <= most)) return parsed;
    const nearest = writeDuration(parsed.value < least ? least : most);
    const range = `from ${showDuration(least)} to ${showDuration(most)}`;
    return refuse(`${quote(value)} is not ${range}, write ${nearest} instead`);
  });

const whole = (example: string, least: number, most: number): z.ZodType<number> =>
  field(example, (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? { ok: true, value }
      : refuse(
          `${quote(value)} is not a whole number from ${String(least)} to ${String(most)}, ` +
            `write for example ${example} instead`,
        ),
  );

const policy = field<PromotionPolicy>('automatic', (value) =>
  value === 'automatic' || value === 'ask' || value === 'off'
    ? { ok: true, value }
    : refuse(`${quote(value)} is not a policy, write automatic, ask or off instead`),
);

const yesOrNo = field<boolean>('true', (value) =>
  typeof value === 'boolean'
    ? { ok: true, value }
    : refuse(`${quote(value)} is neither true nor false, write one of them instead`),
);

function oneOf<const T extends string>(...words: readonly [T, ...T[]]): z.ZodType<T> {
  return field<T>(words[0], (value) => {
    const word = words.find((one) => one === value);
    return word === undefined
      ? refuse(`${quote(value)} is not one of ${words.join(', ')}, write one of them instead`)
      : { ok: true, value: word };
  });
}

/** null where the word stands instead. */
function unless<T>(word: string, schema: z.ZodType<T>): z.ZodType<T | null> {
  return z.unknown().transform((value, context) => {
    if (value === word) return null;
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    for (const { message } of parsed.error.issues) context.addIssue(message);
    return z.NEVER;
  });
}

const store = field('"file:backups"', (value): Parsed<string> => {
  const location = parseStoreUrl(value);
  return location.ok ? { ok: true, value: String(value) } : location;
});

const host = z.strictObject({
  name: name('redis-01-a'),
  zone: name('az-a'),
  address,
  memory: size('64GiB'),
}) satisfies z.ZodType<Host>;

export const serverSchema = z.strictObject({
  name: name('redis-01'),
  hosts: z.tuple([host, host]),
}) satisfies z.ZodType<Server>;

export const databaseSchema = z.strictObject({
  name: name('sessions-00'),
  server: name('redis-01'),
  port: whole('6300', LOWEST_PORT, HIGHEST_PORT),
  maxmemory: size('256MiB'),
  policy: policy.exactOptional(),
}) satisfies z.ZodType<Database>;

/** All that is neither a server nor a database, with the defaults of what is left out. */
export const settingsSchema = z.strictObject({
  fleet: name('demo'),
  detection: section({
    downAfter: duration('1s', 100, 3_600_000).prefault('1s'),
    policy: policy.prefault('automatic'),
    lagLimit: size('16MiB').prefault('16MiB'),
    notAgainWithin: duration('10m', 0, 7 * 86_400_000).prefault('10m'),
    breaker: whole('50', 1, 100).prefault(50),
    atOnce: whole('64', 1, 1_000).prefault(64),
  }),
  leases: section({ ttl: duration('5s', 1_000, 600_000).prefault('5s') }),
  backups: section({
    every: duration('1h', 60_000, 7 * 86_400_000).prefault('1h'),
    store: store.prefault('file:backups'),
    paused: yesOrNo.prefault(false),
    compression: oneOf('zstd', 'off').prefault('zstd'),
    rate: unless('off', size('50MiB')).prefault('off'),
    encryption: oneOf('auto', 'required', 'off').prefault('auto'),
    deadline: unless('auto', duration('2h', 60_000, 30 * 86_400_000)).prefault('auto'),
    drillWithin: duration('7d', 3_600_000, 365 * 86_400_000).prefault('7d'),
    keep: section({
      hourly: whole('24', 1, 10_000).prefault(24),
      daily: whole('7', 0, 10_000).prefault(7),
      weekly: whole('4', 0, 10_000).prefault(4),
    }),
  }),
  relocation: section({
    forkNoLongerFitsWithin: duration('6h', 0, 30 * 86_400_000).prefault('6h'),
    policy: oneOf('ask', 'automatic', 'off').prefault('ask'),
    withoutAskingBelow: unless('off', duration('30m', 0, 30 * 86_400_000)).prefault('off'),
    notAgainWithin: duration('1h', 0, 7 * 86_400_000).prefault('1h'),
  }),
}) satisfies z.ZodType<Omit<Fleet, 'name' | 'servers' | 'databases'> & { fleet: string }>;

export interface FieldProblem {
  readonly path: FieldPath;
  readonly part: 'key' | 'value';
  /** Completes a sentence that begins with the path. */
  readonly problem: string;
}

/** What `schema` makes of `value`, or every problem of it; `at` is where the value stands. */
export function readField<T>(
  schema: z.ZodType<T>,
  value: unknown,
  at: FieldPath,
): { readonly value: T } | { readonly problems: FieldProblem[] } {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data };
  return { problems: parsed.error.issues.flatMap((issue) => explain(issue, value, schema, at)) };
}

/** Refuses a key that no field has, with the one that was probably meant. */
export function unknownKey(path: FieldPath, key: string, known: readonly string[]): FieldProblem {
  const meant = didYouMean(key, known);
  const instead = meant === null ? `write one of ${known.join(', ')} instead` : `write ${meant} instead`;
  return { path: [...path, key], part: 'key', problem: `there is no such field here, ${instead}` };
}

function explain(issue: z.core.$ZodIssue, value: unknown, schema: z.ZodType, at: FieldPath): FieldProblem[] {
  const steps = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
  const path = [...at, ...steps];
  const found = steps.reduce<unknown>(step, value);
  if (issue.code === 'unrecognized_keys') {
    const known = fieldsAt(schema, steps);
    return issue.keys.map((key) => unknownKey(path, key, known));
  }
  if (issue.code === 'custom') return [{ path, part: 'value', problem: issue.message }];
  const wanted = steps.at(-1) === 'hosts' ? 'a list of two hosts' : 'a mapping';
  const problem =
    found === undefined
      ? `this is missing, write ${wanted}`
      : issue.code === 'too_small' || issue.code === 'too_big'
        ? `a server has two hosts, not ${String(Array.isArray(found) ? found.length : 0)}, write ${wanted} in two zones`
        : `${quote(found)} is not what belongs here, write ${wanted} instead`;
  return [{ path, part: 'value', problem }];
}

function step(value: unknown, key: string | number): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

/** The names of the fields of the object schema that stands at `path` within `schema`. */
function fieldsAt(schema: z.core.$ZodType, path: FieldPath): string[] {
  if (schema instanceof z.ZodPrefault) return fieldsAt(schema.unwrap(), path);
  const [key, ...rest] = path;
  if (schema instanceof z.ZodTuple) {
    const item = schema.def.items[typeof key === 'number' ? key : 0];
    return item === undefined ? [] : fieldsAt(item, rest);
  }
  if (!(schema instanceof z.ZodObject)) return [];
  const shape: Readonly<Record<string, z.core.$ZodType>> = schema.shape;
  if (key === undefined) return Object.keys(shape);
  const inner = shape[key];
  return inner === undefined ? [] : fieldsAt(inner, rest);
}

function section<T extends z.core.$ZodLooseShape>(shape: T): z.ZodPrefault<z.ZodObject<T, z.core.$strict>> {
  return z.strictObject(shape).prefault({} as z.input<z.ZodObject<T, z.core.$strict>>);
}

function field<T>(example: string, read: (value: unknown) => Parsed<T>): z.ZodType<T> {
  return z.unknown().transform((value, context) => {
    const parsed: Parsed<T> =
      value === undefined || value === null
        ? refuse(`this is ${value === null ? 'empty' : 'missing'}, write for example ${example}`)
        : read(value);
    if (parsed.ok) return parsed.value;
    context.addIssue(parsed.problem);
    return z.NEVER;
  });
}

function refuse(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem };
}
