/** The commands that move databases where there is room: names, options and help. */

import { InvalidArgumentError, type Command } from 'commander';
import type { RelocateOptions } from './commands/relocate.js';
import type { CliContext } from './context.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';
import { pauseSeconds } from './programPause.js';

export function registerRelocate(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  const run = async (options: RelocateOptions): Promise<void> => {
    const { relocateCommand } = await import('./commands/relocate.js');
    setExitCode(await relocateCommand(context, options));
  };
  withOptions(
    program
      .command('relocate')
      .description('Move databases off a host, so that it is safe again; plans, shows the plan, and asks')
      .option(
        '--host <host>',
        'as many as it takes until a fork of its largest fits, and memory does not end',
      )
      .option('--drain <host>', 'everything off this host')
      .option('--dry-run', 'only say what would be moved; changes nothing'),
  ).action(run);
  withOptions(
    program
      .command('rebalance')
      .description('Say which few moves would even out how full the servers are')
      .option('--run', 'and do it: starts relocateDatabases, which asks'),
  ).action(async (options: RelocateOptions & { run?: true }) => {
    await run({ ...options, rebalance: true, dryRun: options.run !== true });
  });
}

function withOptions(command: Command): Command {
  return command
    .option('--approve', 'approve it beforehand, with the pause that is allowed; needs --reason')
    .option('--reason <text>', 'why it is approved')
    .option('--by <name>', 'who approves it (default: $USER)')
    .option('--without-asking-below <duration>', 'go ahead where memory may end sooner, e.g. 10m')
    .option('--horizon <duration>', 'for so long all hosts shall be safe (default: 1h)')
    .option('--at-once <n>', 'moves at the same time (default: as many as the hosts can bear)', wholeNumber)
    .option('--bandwidth <size>', 'bytes a second that each copy may take, e.g. 50MiB (default: no limit)')
    .option(
      '--pause-writes <seconds>',
      'where no plan fits otherwise: writes to a database may wait so long while it is copied',
      pauseSeconds,
    )
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT);
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It is a whole number of at least 1.');
}
