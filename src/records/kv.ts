/** Consul's key-value store with JSON values: compare-and-set and blocking queries. */

import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type Consul from 'consul';
import type { FleetConsul } from '../connections/consul.js';
import { FleetError } from '../fleet/errors.js';

/** The index that a compare-and-set names for a key that must not exist yet. */
export const ABSENT = 0;

export interface Entry {
  readonly key: string;
  /** As stored: whoever reads it decides what it must be. */
  readonly text: string;
  readonly modifyIndex: number;
}

export interface ReadOptions {
  /** Asks Consul's leader to confirm with a quorum that it still leads: never stale, one round trip more. */
  readonly consistent?: boolean;
  /** Default: that of the client. */
  readonly timeoutMs?: number;
}

/** null: no such key. @throws FleetError Unreachable, WrongCredentials */
export async function readEntry(
  consul: FleetConsul,
  key: string,
  options: ReadOptions = {},
): Promise<Entry | null> {
  const { entries } = await query(consul, { key, ...options });
  return entries[0] ?? null;
}

/** Every entry whose key starts with `prefix`. @throws FleetError Unreachable, WrongCredentials */
export async function listEntries(consul: FleetConsul, prefix: string): Promise<readonly Entry[]> {
  return (await query(consul, { key: prefix, recurse: true })).entries;
}

/**
 * Writes only when the key still stands at `expectedIndex` (ABSENT: does not exist). false: somebody else was first.
 * @throws FleetError Unreachable (it may have been written all the same), WrongCredentials
 */
export async function compareAndSet(
  consul: FleetConsul,
  key: string,
  value: unknown,
  expectedIndex: number,
): Promise<boolean> {
  const answer: unknown = await consul.call(`write ${key}`, (client) =>
    client.kv.set({ key, value: JSON.stringify(value), cas: expectedIndex }),
  );
  return answer === true;
}

/**
 * The same, with the index at which the key stands afterwards: whoever writes a key again and again needs not read it.
 * null: somebody else was first.
 * @throws FleetError Unreachable (it may have been written all the same), WrongCredentials
 */
export async function compareAndSetAgain(
  consul: FleetConsul,
  key: string,
  value: unknown,
  expectedIndex: number,
  timeoutMs: number,
): Promise<number | null> {
  const Value = Buffer.from(JSON.stringify(value)).toString('base64');
  const operation = { KV: { Verb: 'cas', Key: key, Value, Index: expectedIndex } };
  const answer: unknown = await consul.call(`write ${key}`, async (client) => {
    try {
      // The library's types for this call are not what Consul takes.
      return await client.transaction.create([operation as never], { timeout: timeoutMs } as never);
    } catch (error) {
      if (isStale(error)) return null;
      throw error;
    }
  });
  if (answer === null) return null;
  const index = Number(pick(answer, 'Results', 0, 'KV', 'ModifyIndex'));
  if (Number.isSafeInteger(index) && index > 0) return index;
  throw new FleetError(
    'Unreachable',
    `Consul at ${consul.address} gave no index for ${key}. It may have been written; read it before the next write.`,
  );
}

/** A transaction that was rolled back since the key had changed. */
export function isStale(error: unknown): boolean {
  if (pick(error, 'response', 'statusCode') !== 409) return false;
  const body = pick(error, 'response', 'body');
  return /index is stale|key exists/.test(typeof body === 'string' ? body : JSON.stringify(body));
}

export function pick(value: unknown, ...way: readonly (string | number)[]): unknown {
  return way.reduce<unknown>(
    (at, step) => (typeof at === 'object' && at !== null ? (Reflect.get(at, step) as unknown) : undefined),
    value,
  );
}

/** Writes whatever was there: only for what one writer alone reports. */
export async function put(consul: FleetConsul, key: string, value: unknown): Promise<void> {
  await consul.call(`write ${key}`, (client) => client.kv.set({ key, value: JSON.stringify(value) }));
}

/** Removes the key only when it still stands at `expectedIndex`. false: somebody else was first. */
export async function compareAndDelete(
  consul: FleetConsul,
  key: string,
  expectedIndex: number,
): Promise<boolean> {
  const answer: unknown = await consul.call(`delete ${key}`, (client) =>
    client.kv.del({ key, cas: expectedIndex }),
  );
  return answer === true;
}

/** @throws FleetError of `kind` when the entry is not JSON */
export function parseEntry(entry: Entry, kind: 'InvalidRecord' = 'InvalidRecord'): unknown {
  try {
    return JSON.parse(entry.text) as unknown;
  } catch (error) {
    throw new FleetError(
      kind,
      `Consul key ${entry.key} does not hold JSON. See it with \`consul kv get ${entry.key}\`.`,
      {
        cause: error,
      },
    );
  }
}

const LONGEST_WAIT_S = 300;
/** Consul adds up to a sixteenth of the wait. */
const WATCH_TIMEOUT_MS = LONGEST_WAIT_S * 1_000 * (1 + 1 / 16) + 10_000;
const FIRST_PAUSE_MS = 500;
/** A promotion may wait for the end of an outage of Consul: it is to be noticed soon. */
const LONGEST_PAUSE_MS = 2_000;

export interface WatchHandlers {
  /** Called with all there is first, then after every change of it. */
  readonly onChange: (entries: readonly Entry[]) => void | Promise<void>;
  /** Told once an outage begins; the watch goes on by itself. */
  readonly onProblem?: ((problem: FleetError) => void) | undefined;
}

/**
 * Follows a prefix with blocking queries until `signal` aborts. Never throws for an outage: whoever watches keeps
 * what was seen last.
 */
export async function watchPrefix(
  consul: FleetConsul,
  prefix: string,
  handlers: WatchHandlers,
  signal: AbortSignal,
): Promise<void> {
  await follow(consul, { key: prefix, recurse: true }, handlers, signal);
}

/** The same for one key: no entry, or one. */
export async function watchKey(
  consul: FleetConsul,
  key: string,
  handlers: WatchHandlers,
  signal: AbortSignal,
): Promise<void> {
  await follow(consul, { key }, handlers, signal);
}

async function follow(
  consul: FleetConsul,
  what: { readonly key: string; readonly recurse?: true },
  handlers: WatchHandlers,
  signal: AbortSignal,
): Promise<void> {
  const aborted = (): boolean => signal.aborted;
  let index: string | null = null;
  let pause = FIRST_PAUSE_MS;
  while (!aborted()) {
    try {
      const answer: Answer = await query(consul, { ...what, index, signal });
      if (aborted()) return;
      pause = FIRST_PAUSE_MS;
      if (answer.index === null || answer.index !== index) await handlers.onChange(answer.entries);
      index = nextIndex(index, answer.index);
      // Without an index the next query does not block.
      if (index === null) await pauseFor(FIRST_PAUSE_MS, signal);
    } catch (error) {
      if (aborted()) return;
      if (!(error instanceof FleetError)) throw error;
      if (pause === FIRST_PAUSE_MS) handlers.onProblem?.(error);
      // After an outage Consul may have started again from a snapshot: look without an index.
      index = null;
      await pauseFor(pause, signal);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }
}

/** An index that goes backwards (Consul was restored) or is not positive would block for ever, or not at all. */
function nextIndex(before: string | null, now: string | null): string | null {
  if (now === null || !/^\d+$/.test(now) || BigInt(now) <= 0n) return null;
  return before !== null && BigInt(now) < BigInt(before) ? null : now;
}

async function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    // Aborted: the loop looks at the signal itself.
  }
}

interface Query {
  readonly key: string;
  readonly recurse?: boolean;
  readonly consistent?: boolean;
  readonly timeoutMs?: number;
  /** null: answer at once. */
  readonly index?: string | null;
  readonly signal?: AbortSignal;
}

interface Answer {
  readonly entries: readonly Entry[];
  readonly index: string | null;
}

/** The library gives the response's headers, and can be cancelled, through an emitter. */
class RequestContext extends EventEmitter {
  readonly includeResponse = true;
}

async function query(
  consul: FleetConsul,
  { key, recurse, consistent, timeoutMs, index, signal }: Query,
): Promise<Answer> {
  const context = new RequestContext();
  const cancel = (): void => void context.emit('cancel');
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    const options = {
      key,
      ctx: context,
      ...(recurse ? { recurse: true } : {}),
      ...(consistent ? { consistent: true } : {}),
      ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }),
      ...(index ? { index, wait: `${LONGEST_WAIT_S}s`, timeout: WATCH_TIMEOUT_MS } : {}),
    };
    const answer: unknown = await consul.call(`read ${key}`, (client: Consul) => client.kv.get(options));
    return readAnswer(answer);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

/** [response, undefined | item | items] */
function readAnswer(answer: unknown): Answer {
  if (!Array.isArray(answer)) return { entries: [], index: null };
  const [response, found] = answer as unknown[];
  const headers: unknown = isObject(response) ? response['headers'] : null;
  const index: unknown = isObject(headers) ? headers['x-consul-index'] : null;
  const items: unknown[] = Array.isArray(found)
    ? found
    : found === undefined || found === null
      ? []
      : [found];
  return { entries: items.filter(isObject).map(toEntry), index: typeof index === 'string' ? index : null };
}

function toEntry(item: Record<string, unknown>): Entry {
  const value = item['Value'];
  return {
    key: String(item['Key']),
    text: typeof value === 'string' ? value : '',
    modifyIndex: Number(item['ModifyIndex']),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
