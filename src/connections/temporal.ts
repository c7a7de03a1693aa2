/** Temporal as TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and the profiles of its configuration file describe it. */

import { loadClientConnectConfig } from '@temporalio/envconfig';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import type { Client } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { FleetError, messageOf } from '../fleet/errors.js';
import { rememberSecret, withoutSecrets } from './redaction.js';
import { patiently } from './patience.js';
import type { ConnectOptions } from './patience.js';

const CONNECT_TIMEOUT_MS = 5_000;
const DEFAULT_ADDRESS = 'localhost:7233';

/** gRPC's status codes that are a matter of rights, not of time. */
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;
const NOT_FOUND = 5;

/** @throws FleetError Unreachable, WrongCredentials, InvalidRequest */
export async function connectTemporalClient(
  env: NodeJS.ProcessEnv,
  options: ConnectOptions,
): Promise<Client> {
  const target = temporalTarget(env);
  // Imported when needed: the command line must start fast, and workers need the other half.
  const { Client, Connection } = await import('@temporalio/client');
  const { address, tls, apiKey, metadata } = target.config.connectionOptions;
  const connection = await patiently(
    () =>
      connecting(target, () =>
        Connection.connect({
          address: address ?? DEFAULT_ADDRESS,
          connectTimeout: CONNECT_TIMEOUT_MS,
          ...(tls === undefined ? {} : { tls }),
          ...(apiKey === undefined ? {} : { apiKey }),
          ...(metadata === undefined ? {} : { metadata }),
        }),
      ),
    options,
  );
  return new Client({ connection, namespace: target.namespace });
}

/** Checks that the namespace exists, too. @throws FleetError Unreachable, WrongCredentials, InvalidRequest */
export async function connectTemporalWorker(
  env: NodeJS.ProcessEnv,
  options: ConnectOptions,
): Promise<{ connection: NativeConnection; namespace: string }> {
  const target = temporalTarget(env);
  const { NativeConnection } = await import('@temporalio/worker');
  const { namespace } = target;
  const connection = await patiently(
    () =>
      connecting(target, async () => {
        const opened = await NativeConnection.connect(target.config.connectionOptions);
        try {
          await checkNamespace(opened, target);
        } catch (error) {
          await opened.close();
          throw error;
        }
        return opened;
      }),
    options,
  );
  return { connection, namespace };
}

export interface Target {
  readonly config: ClientConnectConfig;
  readonly namespace: string;
  readonly address: string;
  /** Where the address came from. */
  readonly source: string;
}

/** @throws FleetError InvalidRequest */
export function temporalTarget(env: NodeJS.ProcessEnv): Target {
  let config: ClientConnectConfig;
  try {
    config = loadSettings(env);
  } catch (error) {
    throw new FleetError(
      'InvalidRequest',
      `Temporal's settings cannot be read: ${withoutSecrets(messageOf(error))}. Look at TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE and \`temporal config list\`.`,
      { cause: error },
    );
  }
  rememberSecret(config.connectionOptions.apiKey);
  const address = config.connectionOptions.address ?? DEFAULT_ADDRESS;
  const profile = env['TEMPORAL_PROFILE'] ?? 'default';
  const source = env['TEMPORAL_ADDRESS']
    ? 'TEMPORAL_ADDRESS'
    : config.connectionOptions.address
      ? `profile ${profile}; TEMPORAL_ADDRESS would override it`
      : 'TEMPORAL_ADDRESS is not set: this is the default';
  return {
    config: { ...config, connectionOptions: { ...config.connectionOptions, address } },
    namespace: config.namespace ?? 'default',
    address,
    source,
  };
}

function loadSettings(env: NodeJS.ProcessEnv): ClientConnectConfig {
  const given = Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const overrideEnvVars = Object.fromEntries(given);
  try {
    return loadClientConnectConfig({ overrideEnvVars });
  } catch (error) {
    // A configuration file without any profile makes the SDK stumble; the environment alone is fine then.
    if (!(error instanceof TypeError) || env['TEMPORAL_PROFILE']) throw error;
    return loadClientConnectConfig({ overrideEnvVars, disableFile: true });
  }
}

async function connecting<T>(target: Target, connect: () => Promise<T>): Promise<T> {
  try {
    return await connect();
  } catch (error) {
    if (error instanceof FleetError) throw error;
    const code = grpcCode(error);
    const words = plainWords(error);
    if (code === PERMISSION_DENIED || code === UNAUTHENTICATED) {
      throw new FleetError(
        'WrongCredentials',
        `Temporal at ${target.address} refuses us: ${words}. Look at TEMPORAL_API_KEY and the TEMPORAL_TLS_* variables.`,
        { cause: error },
      );
    }
    throw new FleetError(
      'Unreachable',
      `Temporal at ${target.address} (${target.source}) cannot be reached: ${words}.`,
      { cause: error },
    );
  }
}

async function checkNamespace(connection: NativeConnection, target: Target): Promise<void> {
  try {
    await connection.workflowService.describeNamespace({ namespace: target.namespace });
  } catch (error) {
    const code = grpcCode(error);
    // Whether it exists will show when the worker polls.
    if (code === PERMISSION_DENIED || code === UNAUTHENTICATED) return;
    if (code !== NOT_FOUND) throw error;
    throw new FleetError(
      'Unreachable',
      `Temporal at ${target.address} has no namespace "${target.namespace}" (TEMPORAL_NAMESPACE): make it with ` +
        `\`temporal operator namespace create --namespace ${target.namespace}\`.`,
      { cause: error },
    );
  }
}

/** The gRPC status, which hides in the cause of the SDK's own errors. */
export function grpcCode(error: unknown): number | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'number') return at.code;
  }
  return null;
}

const LONGEST_WORDS = 300;

/** What the SDK's two halves say about the network, as a person would say it. */
function plainWords(error: unknown): string {
  const words = withoutSecrets(messageOf(error));
  if (/connection ?refused/i.test(words)) return 'connection refused';
  if (/deadline/i.test(words)) return `no answer within ${CONNECT_TIMEOUT_MS / 1000} s`;
  if (/dns error|failed to lookup|ENOTFOUND/i.test(words)) return 'its name cannot be resolved';
  return (words.split('\n')[0] ?? '').replace(/\.$/, '').slice(0, LONGEST_WORDS);
}
