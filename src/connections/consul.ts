/** Consul as Consul's own environment variables describe it. */

import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import Consul from 'consul';
import { FleetError, messageOf } from '../fleet/errors.js';
import { rememberSecret, withoutSecrets } from './redaction.js';
import { patiently } from './patience.js';
import type { ConnectOptions } from './patience.js';

/** Requests other than blocking queries. */
const REQUEST_TIMEOUT_MS = 10_000;

export interface FleetConsul {
  /** As shown in messages. */
  readonly address: string;
  /**
   * Runs a request. `what` ends the sentence "Consul … could not …".
   * @throws FleetError Unreachable, WrongCredentials, InvalidRequest
   */
  call<T>(what: string, request: (client: Consul) => Promise<T>): Promise<T>;
  /** Closes idle connections. */
  close(): void;
}

interface ClientOptions {
  baseUrl: string;
  timeout: number;
  headers: Record<string, string>;
  defaults: { token?: string; partition?: string };
  socketPath?: string;
  ca?: string[];
  cert?: string;
  key?: string;
  servername?: string;
  rejectUnauthorized?: boolean;
}

/**
 * Reads CONSUL_HTTP_ADDR (host:port, http(s)://…, unix://…), CONSUL_HTTP_TOKEN(_FILE), CONSUL_HTTP_AUTH, CONSUL_HTTP_SSL,
 * CONSUL_HTTP_SSL_VERIFY, CONSUL_CACERT, CONSUL_CAPATH, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY,
 * CONSUL_TLS_SERVER_NAME, CONSUL_NAMESPACE and CONSUL_PARTITION. Does not connect yet.
 * @throws FleetError InvalidRequest for a variable that makes no sense
 */
export function consulFromEnvironment(
  env: NodeJS.ProcessEnv = process.env,
  { timeoutMs = REQUEST_TIMEOUT_MS }: { readonly timeoutMs?: number } = {},
): FleetConsul {
  const { options, address } = clientOptions(env, timeoutMs);
  const client = new Consul(options);
  withTagOverride(client);
  return {
    address,
    async call(what, request) {
      try {
        return await request(client);
      } catch (error) {
        throw asFleetError(error, what, address, env);
      }
    },
    close: () => client.destroy(),
  };
}

interface CreatedRequest {
  readonly opts: { readonly name?: string; body?: object };
}

/**
 * Consul's agents repeat what was registered with them every minute or so, over whatever the catalog says by then: after
 * a change of leader that would bring the old one's tag back beside the new one's, for as long as the host's own agent
 * is dead (seen with Consul 1.20, 106 s after). With this setting they keep the catalog's tags. The library leaves it
 * out of what it sends, so it is put in by an extension.
 */
function withTagOverride(client: Consul): void {
  const extensible = client as unknown as {
    _ext(when: 'onCreate', extension: (request: CreatedRequest, next: () => void) => void): void;
  };
  extensible._ext('onCreate', ({ opts }, next) => {
    if (opts.name === 'agent.service.register') opts.body = { ...opts.body, EnableTagOverride: true };
    next();
  });
}

/** Waits until Consul answers and has elected its leader. @throws FleetError */
export async function awaitConsul(consul: FleetConsul, options: ConnectOptions): Promise<void> {
  await patiently(async () => {
    const leader: unknown = await consul.call('say who leads it', (client) => client.status.leader());
    if (typeof leader !== 'string' || leader === '') {
      throw new FleetError(
        'Unreachable',
        `Consul at ${consul.address} has no leader yet (CONSUL_HTTP_ADDR).`,
      );
    }
  }, options);
}

function clientOptions(env: NodeJS.ProcessEnv, timeout: number): { options: ClientOptions; address: string } {
  const { url, socketPath } = parseAddress(env);
  const auth = env['CONSUL_HTTP_AUTH'];
  if (auth) {
    const [user = '', ...password] = auth.split(':');
    url.username = encodeURIComponent(user);
    url.password = encodeURIComponent(password.join(':'));
    rememberSecret(password.join(':'));
  }
  const token = env['CONSUL_HTTP_TOKEN'] ?? fileOf(env, 'CONSUL_HTTP_TOKEN_FILE')?.trim();
  rememberSecret(token);
  const ca = authorities(env);
  const cert = fileOf(env, 'CONSUL_CLIENT_CERT');
  const key = fileOf(env, 'CONSUL_CLIENT_KEY');
  const servername = env['CONSUL_TLS_SERVER_NAME'];
  const namespace = env['CONSUL_NAMESPACE'];
  const partition = env['CONSUL_PARTITION'];
  const options: ClientOptions = {
    baseUrl: `${withAuth(url)}${url.pathname.replace(/\/+$/, '')}/v1`,
    timeout,
    headers: namespace ? { 'x-consul-namespace': namespace } : {},
    defaults: { ...(token ? { token } : {}), ...(partition ? { partition } : {}) },
    ...(socketPath ? { socketPath } : {}),
    ...(ca.length > 0 ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(servername ? { servername } : {}),
    ...(flag(env, 'CONSUL_HTTP_SSL_VERIFY') === false ? { rejectUnauthorized: false } : {}),
  };
  return {
    options,
    address: socketPath ? `unix://${socketPath}` : `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
  };
}

function withAuth(url: URL): string {
  const auth = url.username ? `${url.username}:${url.password}@` : '';
  return `${url.protocol}//${auth}${url.host}`;
}

function parseAddress(env: NodeJS.ProcessEnv): { url: URL; socketPath: string | null } {
  const text = env['CONSUL_HTTP_ADDR'] ?? '';
  const secure = flag(env, 'CONSUL_HTTP_SSL') === true;
  if (text.startsWith('unix://')) {
    return { url: new URL('http://localhost'), socketPath: text.slice('unix://'.length) };
  }
  const scheme = secure ? 'https' : 'http';
  const full =
    text === '' ? `${scheme}://127.0.0.1:8500` : text.includes('://') ? text : `${scheme}://${text}`;
  if (!URL.canParse(full) || !/^https?:$/.test(new URL(full).protocol)) {
    throw new FleetError(
      'InvalidRequest',
      `CONSUL_HTTP_ADDR is "${withoutSecrets(text)}", which is no address: expected host:port, http(s)://host:port or unix://path.`,
    );
  }
  const url = new URL(full);
  if (secure) url.protocol = 'https:';
  return { url, socketPath: null };
}

function flag(env: NodeJS.ProcessEnv, name: string): boolean | null {
  const value = env[name]?.toLowerCase();
  if (value === undefined || value === '') return null;
  if (['1', 't', 'true'].includes(value)) return true;
  if (['0', 'f', 'false'].includes(value)) return false;
  throw new FleetError('InvalidRequest', `${name} is "${value}": expected true or false.`);
}

function fileOf(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const file = env[name];
  return file ? readNamed(file, name) : undefined;
}

function readNamed(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new FleetError(
      'InvalidRequest',
      `${name} names ${file}, which cannot be read: ${messageOf(error)}.`,
      {
        cause: error,
      },
    );
  }
}

function authorities(env: NodeJS.ProcessEnv): string[] {
  const single = fileOf(env, 'CONSUL_CACERT');
  const folder = env['CONSUL_CAPATH'];
  if (single !== undefined) return [single];
  if (!folder) return [];
  try {
    return readdirSync(folder).map((name) => readNamed(path.join(folder, name), 'CONSUL_CAPATH'));
  } catch (error) {
    if (error instanceof FleetError) throw error;
    throw new FleetError('InvalidRequest', `CONSUL_CAPATH names ${folder}: ${messageOf(error)}.`, {
      cause: error,
    });
  }
}

function asFleetError(error: unknown, what: string, address: string, env: NodeJS.ProcessEnv): FleetError {
  if (error instanceof FleetError) return error;
  const { status, words } = answerOf(error);
  const said = withoutSecrets(words);
  const cause = { cause: error };
  if (status === 403 || status === 401) {
    const variable = status === 401 ? 'CONSUL_HTTP_AUTH' : tokenVariable(env);
    return new FleetError(
      'WrongCredentials',
      `Consul at ${address} refused to ${what}: ${said}. Give a token with that right in ${variable}; nothing was changed.`,
      cause,
    );
  }
  if (status !== null && status >= 400 && status < 500 && status !== 408 && status !== 429) {
    return new FleetError('InvalidRequest', `Consul at ${address} would not ${what}: ${said}.`, cause);
  }
  const setting = env['CONSUL_HTTP_ADDR']
    ? 'CONSUL_HTTP_ADDR'
    : 'CONSUL_HTTP_ADDR is not set: this is the default';
  return new FleetError(
    'Unreachable',
    `Consul at ${address} (${setting}) could not ${what}: ${said}.`,
    cause,
  );
}

function tokenVariable(env: NodeJS.ProcessEnv): string {
  return !env['CONSUL_HTTP_TOKEN'] && env['CONSUL_HTTP_TOKEN_FILE']
    ? 'CONSUL_HTTP_TOKEN_FILE'
    : 'CONSUL_HTTP_TOKEN';
}

/** The HTTP status, if there was an answer at all, and what was said. */
function answerOf(error: unknown): { status: number | null; words: string } {
  if (typeof error === 'object' && error !== null && 'response' in error) {
    const { response } = error;
    if (typeof response === 'object' && response !== null && 'statusCode' in response) {
      const body = 'body' in response ? response.body : null;
      const text = Buffer.isBuffer(body) || typeof body === 'string' ? body.toString().trim() : '';
      const status = Number(response.statusCode);
      return { status, words: text === '' ? `HTTP ${status}` : text.replace(/\.$/, '') };
    }
  }
  return { status: null, words: messageOf(error).replace(/^consul: (\S+: )?/, '') || codeOf(error) };
}

/** Of an error that tried several addresses and has no message of its own. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
}
