/** Commands that change who leads, or say why nobody did: names, options and help. */

import type { Command } from 'commander';
import type { PromoteOptions } from './commands/promote.js';
import type { SwitchoverOptions } from './commands/switchover.js';
import type { CliContext } from './context.js';
import { DETACH, FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';
import { registerWatching } from './programWatching.js';

export function registerFailover(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  registerSwitchover(program, context, setExitCode);
  registerPromote(program, context, setExitCode);
  registerWatching(program, context, setExitCode);
}

function registerSwitchover(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('switchover')
    .argument('[databases...]', 'the databases whose followers shall lead')
    .description('Let followers take over from leaders that are well; no acknowledged write is lost')
    .option('--host <host>', 'all databases that this host leads, instead of naming them')
    .option('--expected-leader <host>', 'refuse when another host leads')
    .option('--dry-run', 'only say what would be done')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (databases: readonly string[], options: SwitchoverOptions) => {
      const { switchoverCommand } = await import('./commands/switchover.js');
      setExitCode(await switchoverCommand(context, databases, options));
    });
}

function registerPromote(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('promote')
    .argument('[databases...]', 'the databases whose leaders have failed')
    .description('Promote followers of leaders that have failed; a leader that is well is refused')
    .option('--host <host>', 'all databases that this host leads, instead of naming them')
    .option('--zone <zone>', 'all databases that the hosts of this zone lead')
    .option(
      '--allow-data-loss <database>',
      'this one may be promoted although its follower lacks acknowledged writes; may be repeated',
      (name: string, before: readonly string[]) => [...before, name],
      [],
    )
    .option('--expected-leader <host>', 'refuse when another host leads')
    .option('--dry-run', 'only say what would be done')
    .option(...FILE)
    .option(...DETACH)
    .option(...JSON_OUTPUT)
    .action(async (databases: readonly string[], options: PromoteOptions) => {
      const { promoteCommand } = await import('./commands/promote.js');
      setExitCode(await promoteCommand(context, databases, options));
    });
}
