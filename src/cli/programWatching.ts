/** `redis-fleet why` and `redis-fleet maintenance …`: names, options and help. */

import type { Command } from 'commander';
import type { MaintenanceOffOptions, MaintenanceOnOptions } from './commands/maintenance.js';
import type { CliContext } from './context.js';
import { FILE, JSON_OUTPUT } from './options.js';
import type { SetExitCode } from './program.js';

const TARGETS = [
  ['--database <database>', 'of this database'],
  ['--host <host>', 'of this host: all databases that have a leader or follower there'],
  ['--fleet', 'of the whole fleet'],
] as const;

export function registerWatching(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  program
    .command('why')
    .argument('<database>', 'the database')
    .description('Say how its leader is by all who look at it, and why the watch acts or does not')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (database: string, options: { file?: string; json?: boolean }) => {
      const { whyCommand } = await import('./commands/why.js');
      setExitCode(await whyCommand(context, database, options));
    });
  registerMaintenance(program, context, setExitCode);
}

function registerMaintenance(program: Command, context: CliContext, setExitCode: SetExitCode): void {
  const maintenance = program
    .command('maintenance')
    .description('While an engineer works on something, keep its failures from promoting anybody');
  const on = maintenance.command('on').description('Begin a maintenance');
  const off = maintenance.command('off').description('End a maintenance');
  for (const [flags, text] of TARGETS) {
    on.option(flags, text);
    off.option(flags, text);
  }
  on.requiredOption('--reason <text>', 'why; status and why show it')
    .option('--by <name>', 'who says so (default: $USER)')
    .option('--for <duration>', 'it ends by itself after this time, e.g. 1h (default: when it is ended)')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (options: MaintenanceOnOptions) => {
      const { maintenanceOn } = await import('./commands/maintenance.js');
      setExitCode(await maintenanceOn(context, options));
    });
  off
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (options: MaintenanceOffOptions) => {
      const { maintenanceOff } = await import('./commands/maintenance.js');
      setExitCode(await maintenanceOff(context, options));
    });
  maintenance
    .command('list')
    .description('List what is in maintenance, and how to end it')
    .option(...FILE)
    .option(...JSON_OUTPUT)
    .action(async (options: { file?: string; json?: boolean }) => {
      const { maintenanceList } = await import('./commands/maintenance.js');
      setExitCode(await maintenanceList(context, options));
    });
}
