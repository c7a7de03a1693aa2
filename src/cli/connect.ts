/** Opens what a command needs, and closes it whatever happens. */

import type { Client } from '@temporalio/client';
import type { FleetConsul } from '../connections/consul.js';
import type { CliContext } from './context.js';

/** @throws Unreachable, WrongCredentials, InvalidRequest */
export async function withTemporal<T>(context: CliContext, use: (client: Client) => Promise<T>): Promise<T> {
  const { connectTemporalClient } = await import('../connections/temporal.js');
  const client = await connectTemporalClient(context.env, { patience: 'none' });
  try {
    return await use(client);
  } finally {
    await client.connection.close();
  }
}

/** @throws Unreachable, WrongCredentials, InvalidRequest */
export async function withConsul<T>(
  context: CliContext,
  use: (consul: FleetConsul) => Promise<T>,
): Promise<T> {
  const { consulFromEnvironment } = await import('../connections/consul.js');
  const consul = consulFromEnvironment(context.env);
  try {
    return await use(consul);
  } finally {
    consul.close();
  }
}
