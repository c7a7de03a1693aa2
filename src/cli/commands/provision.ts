/** `redis-fleet provision SERVER`: brings up the databases of a server that have no leader yet. */

import { FleetError } from '../../fleet/errors.js';
import { didYouMean } from '../../fleet/nameRule.js';
import { printJson } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul, withTemporal } from '../connect.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { outcomeJson, runAndFollow } from '../runAndFollow.js';

export interface ProvisionOptions {
  readonly file?: string;
  readonly json?: boolean;
  readonly detach?: boolean;
}

export async function provisionCommand(
  context: CliContext,
  name: string,
  { file, json = false, detach = false }: ProvisionOptions,
): Promise<ExitCode> {
  const { name: fleetName } = await fleetOfFile(context, undefined, file);
  const known = await withConsul(context, (consul) => readKnownFleet(consul, fleetName));
  const fleet = requireApplied(known, fleetName);
  const server = fleet.servers.find((candidate) => candidate.name === name);
  if (server === undefined) {
    const names = fleet.servers.map((candidate) => candidate.name);
    const meant = didYouMean(name, names);
    const hint = meant === null ? `Its servers: ${names.join(', ')}.` : `Did you mean ${meant}?`;
    throw new FleetError(
      'InvalidRequest',
      `Fleet ${fleetName}, as it was applied, has no server ${name}. ${hint}`,
    );
  }
  const subject = {
    fleet: fleetName,
    servers: [name],
    databases: fleet.databases
      .filter((database) => database.server === name)
      .map((database) => database.name),
    hosts: server.hosts.map((host) => host.name),
  };
  const request = { server: name };
  const outcome = await withTemporal(context, (client) =>
    runAndFollow(
      context,
      client,
      { type: 'provisionServer', name, request, subject },
      { detach, quiet: json },
    ),
  );
  if (json) printJson(context, outcomeJson(outcome));
  return outcome.exitCode;
}
