/** `redis-fleet check`: the invariants that can be seen now; one sentence for each that does not hold. */

import { checkFleet } from '../../fleet/checks.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul } from '../connect.js';
import { fleetOfFile, readKnownFleet, requireApplied } from '../fleetInput.js';
import { readStatus } from '../statusInput.js';

export interface CheckOptions {
  readonly file?: string;
  readonly json?: boolean;
}

export async function checkCommand(context: CliContext, options: CheckOptions): Promise<ExitCode> {
  const file = await fleetOfFile(context, undefined, options.file);
  const { input, drills } = await withConsul(context, async (consul) => {
    requireApplied(await readKnownFleet(consul, file.name), file.name);
    const { drillStore } = await import('../../records/drills.js');
    const status = await readStatus(context, consul, file);
    return { ...status, drills: await drillStore(consul, file.name).list() };
  });
  const { probeGates } = await import('../gateProbe.js');
  const gates = await probeGates(
    context.env,
    input.records.filter(({ epoch }) => epoch > 0),
  );
  const findings = checkFleet({ ...input, gates, drills });
  const failures = findings.filter(({ severity }) => severity === 'failure');
  if (options.json) {
    printJson(context, { fleet: input.fleet.name, well: failures.length === 0, findings });
  } else {
    for (const { severity, text } of findings)
      printLine(context, `${severity === 'failure' ? 'FAIL' : 'note'}  ${text}`);
    const looked = `${String(input.records.length)} databases of fleet ${input.fleet.name} looked at`;
    printLine(
      context,
      failures.length === 0
        ? `All is well: ${looked}.`
        : `Not well: ${String(failures.length)} of the invariants do not hold; ${looked}.`,
    );
  }
  return failures.length === 0 ? WELL : NOT_WELL;
}
