/** `redis-fleet runbook …`: names, options and help. */

import type { Command } from 'commander';
import { CONTROL_MESSAGES } from '../fleet/runbook.js';
import type { ControlMessage } from '../fleet/runbook.js';
import type { CliContext } from './context.js';
import { JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';

const MEANING: Readonly<Record<ControlMessage, string>> = {
  approve: 'Let a step run that waits for approval',
  retry: 'Run a stuck step again, after its cause was dealt with',
  skip: 'Go on without a stuck step, where it can be gone without',
  abort: 'Stop a runbook and undo what it did, newest first',
};

export function registerRunbook(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  const runbook = program.command('runbook').description('See runbooks, and move on what waits for a person');
  runbook
    .command('list')
    .description('List runbooks, the open ones first; a new one appears a moment after its start')
    .option('--all', 'every ended one, not only the last ten')
    .option(...JSON_OUTPUT)
    .action(async (options: { json?: boolean; all?: boolean }) => {
      const { listCommand } = await import('./commands/runbook.js');
      setExitCode(await listCommand(context, options));
    });
  runbook
    .command('show')
    .argument('<id>', 'the runbook, e.g. bringUpFollower/sessions-03')
    .description('Show its steps, notes and decisions, and the commands that move it on')
    .option(...JSON_OUTPUT)
    .action(async (id: string, options: { json?: boolean }) => {
      const { showCommand } = await import('./commands/runbook.js');
      setExitCode(await showCommand(context, id, options));
    });
  for (const message of CONTROL_MESSAGES) {
    runbook
      .command(message)
      .argument('<id>', 'the runbook, e.g. bringUpFollower/sessions-03')
      .description(MEANING[message])
      .requiredOption('--reason <text>', 'why; it is kept with the runbook')
      .option('--by <name>', 'who says so (default: $USER)')
      .option(...JSON_OUTPUT)
      .action(async (id: string, options: { json?: boolean; reason: string; by?: string }) => {
        const { moveCommand } = await import('./commands/runbook.js');
        setExitCode(await moveCommand(context, message, id, options));
      });
  }
}
