/** `redis-fleet status`: every server and database, as Consul has them now. */

import { statusView } from '../../fleet/statusView.js';
import { NOT_WELL, printJson, printLine, WELL } from '../context.js';
import type { CliContext, ExitCode } from '../context.js';
import { withConsul } from '../connect.js';
import { fleetOfFile } from '../fleetInput.js';
import { readStatus } from '../statusInput.js';
import { statusText } from '../statusText.js';

export interface StatusOptions {
  readonly file?: string;
  readonly json?: boolean;
}

export async function statusCommand(context: CliContext, options: StatusOptions): Promise<ExitCode> {
  const file = await fleetOfFile(context, undefined, options.file);
  const { input, applied } = await withConsul(context, (consul) => readStatus(context, consul, file));
  const view = statusView(input);
  if (options.json) {
    printJson(context, { ...view, applied, well: view.well && applied });
  } else {
    printLine(context, statusText(view, { lines: context.isTerminal }));
    if (!applied) printLine(context, `\nFleet ${file.name} was not applied yet; run: redis-fleet apply`);
  }
  return view.well && applied ? WELL : NOT_WELL;
}
